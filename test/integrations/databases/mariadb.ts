/** Runs MariaDB from Debian's package: user `tester` without a password, database `test`. */
import { existsSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type BrokerKind, PATH, reasonWithout } from '../../../sample/brokers/broker.js';
import { Program } from '../../../sample/runner/program.js';

const SETTINGS = {
  'bind-address': '127.0.0.1',
  // Users are told by their address, which is never looked up.
  'skip-name-resolve': 'ON',
  'skip-networking': 'OFF',
  'max-connections': 300,
  'innodb-buffer-pool-size': '16M',
  'innodb-log-file-size': '4M',
  'innodb-flush-log-at-trx-commit': 0,
  'innodb-doublewrite': 0,
};

const USER = `CREATE DATABASE IF NOT EXISTS test;
CREATE OR REPLACE USER tester@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO tester@'127.0.0.1';
`;

export const mariadb: BrokerKind = {
  name: 'mariadb',
  missing: () => reasonWithout('mariadbd') ?? reasonWithout('mariadb-install-db'),
  async launch(port, folder) {
    const data = join(folder, 'data');
    const file = join(folder, 'user.sql');
    // As root, the server runs only if it is told which user to run as.
    const always = ['--no-defaults', `--datadir=${data}`, `--user=${userInfo().username}`];
    // After a restart, the files already exist.
    if (!existsSync(data)) {
      writeFileSync(file, USER);
      const args = [...always, '--auth-root-authentication-method=normal', '--skip-test-db', '--innodb-log-file-size=4M'];
      const { code, output } = await Program.run({ command: 'mariadb-install-db', args, env: { PATH } }, 60_000);
      if (code !== 0) throw new Error(`MariaDB's files could not be created:\n${output}`);
    }
    const settings = Object.entries({
      ...SETTINGS,
      port,
      socket: join(folder, 'socket'),
      'pid-file': join(folder, 'pid'),
      'init-file': file,
    });
    const args = [...always, ...settings.map(([name, value]) => `--${name}=${value}`)];
    return Program.start({ command: 'mariadbd', args, cwd: folder, env: { PATH } }, /(ready for connections)/);
  },
};
