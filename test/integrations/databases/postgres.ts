/** Runs PostgreSQL from Debian's package: user `postgres` without a password, database `postgres`. */
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BrokerKind } from '../../../sample/brokers/broker.js';
import { Program } from '../../../sample/runner/program.js';

/** Debian has a folder for each version and adds none to PATH. */
const VERSIONS = '/usr/lib/postgresql';

/** The server refuses to run as root. `nobody` exists on every Debian. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const AS_NOBODY = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];

const CLOSING_CLIENTS_MS = 2_000;

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  max_connections: 300,
  shared_buffers: '16MB',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
};

export const postgres: BrokerKind = {
  name: 'postgres',
  missing: () => (programs() === undefined ? `"${VERSIONS}" has no server` : undefined),
  async launch(port, folder) {
    const data = join(folder, 'data');
    // After a restart, the files already exist.
    if (!existsSync(data)) {
      if (isRoot) chownSync(folder, NOBODY, NOBODY);
      const { code, output } = await Program.run(command('initdb', ['-D', data, ...'-U postgres -A trust -E UTF8 -N'.split(' ')]), 60_000);
      if (code !== 0) throw new Error(`PostgreSQL's files could not be created:\n${output}`);
    }
    const settings = Object.entries({ ...SETTINGS, unix_socket_directories: folder, port });
    const args = ['-D', data, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const server = await Program.start(command('postgres', args), /(ready to accept connections)/);
    // SIGKILL would leave the processes that the server has for its clients.
    return { stop: signal => (signal === 'SIGKILL' ? server.stop('SIGQUIT') : stopGently(server)) };
  },
};

/**
 * Waits for clients that are closing, and ends the others after a while. A pool of `pg` says that it has ended before its connections have, and
 * an error of such a connection would fail a spec.
 */
async function stopGently(server: Program): Promise<void> {
  const timer = setTimeout(() => void server.stop('SIGINT'), CLOSING_CLIENTS_MS);
  await server.stop('SIGTERM');
  clearTimeout(timer);
}

/** Returns the folder with the programs of the newest version, if there is one. */
function programs(): string | undefined {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((one, other) => Number(other) - Number(one)) : [];
  return versions.map(version => join(VERSIONS, version, 'bin')).find(folder => existsSync(join(folder, 'postgres')));
}

function command(name: string, args: readonly string[]) {
  const program = join(programs() ?? '', name);
  // The messages that the specs wait for are English.
  const env = { LC_ALL: 'C.UTF-8' };
  return isRoot ? { command: 'setpriv', args: [...AS_NOBODY, program, ...args], cwd: '/', env } : { command: program, args, cwd: '/', env };
}
