/** A spec file that never ends: in one test the process hears nothing any more. */
import { it } from '@jest/globals';

it('ends', () => {});

it('goes round in circles', () => {
  for (;;);
});
