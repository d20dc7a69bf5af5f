/** Runs NATS from Debian's package. */
import { Program } from '../runner/program.js';
import { type BrokerKind, PATH, reasonWithout } from './broker.js';

export const nats: BrokerKind = {
  name: 'nats',
  missing: () => reasonWithout('nats-server'),
  launch: (port, folder) =>
    Program.start(
      { command: 'nats-server', args: ['--addr', '127.0.0.1', '--port', String(port)], cwd: folder, env: { PATH } },
      /(Server is ready)/,
    ),
};
