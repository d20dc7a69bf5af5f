/** A spec file that reaches for a port of the machine, whatever is there. */
import { it } from '@jest/globals';
import { connect } from 'node:net';

it('calls a broker that is not its own', async () => {
  await new Promise(resolve => connect(1883, '127.0.0.1').on('error', resolve).on('connect', resolve));
});
