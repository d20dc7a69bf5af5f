/** Runs Mosquitto from Debian's package. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../runner/program.js';
import { type BrokerKind, PATH, reasonWithout } from './broker.js';

export const mosquitto: BrokerKind = {
  name: 'mosquitto',
  missing: () => reasonWithout('mosquitto'),
  launch(port, folder) {
    const config = join(folder, 'mosquitto.conf');
    // If root starts it, it changes to its own user. It then needs no files.
    const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false', 'log_dest stderr', 'max_queued_messages 0'];
    writeFileSync(config, `${lines.join('\n')}\n`);
    return Program.start({ command: 'mosquitto', args: ['-c', config], cwd: folder, env: { PATH } }, /(mosquitto version \S+ running)/);
  },
};
