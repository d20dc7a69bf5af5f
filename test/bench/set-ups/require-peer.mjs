/** Loads what is compared with from the folder it was installed into (installs.mjs). */
import { createRequire } from 'node:module';
import { join } from 'node:path';

export const requirePeer = createRequire(join(process.env['BENCH_PEERS'] ?? '.', 'package.json'));
