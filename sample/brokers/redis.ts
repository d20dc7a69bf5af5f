/** Runs Redis from Debian's package. */
import { Program } from '../runner/program.js';
import { type BrokerKind, PATH, reasonWithout } from './broker.js';

export const redis: BrokerKind = {
  name: 'redis',
  missing: () => reasonWithout('redis-server'),
  launch: (port, folder) =>
    Program.start(
      { command: 'redis-server', args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder], env: { PATH } },
      /(Ready to accept connections)/,
    ),
};
