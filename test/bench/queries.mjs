/** Measures what tracing adds to a query through pg and TypeORM: nothing, ours, and the official instrumentations, in one run. */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startQueries } from './processes.mjs';

export const queryLibraries = [
  { id: 'client', title: 'pg, a client' },
  { id: 'pool', title: 'pg, a pool' },
  { id: 'typeorm', title: 'TypeORM over pg' },
];
const setUps = ['none', 'ours', 'official'];

const VERSIONS = '/usr/lib/postgresql';
const NOBODY = 65_534;

/** Resolves to one list of rounds per fleet. A round has the result of each library and set-up, by `<library>-<set-up>`. */
export async function measureQueries({ node, fleets, rounds, warmUpMs, windowMs, tell }) {
  const server = await startPostgres();
  const measured = [];
  try {
    for (let fleet = 0; fleet < fleets; fleet++) {
      tell(`queries: start ${fleet + 1} of ${fleets}`);
      measured.push(await measureFleet({ node, rounds, warmUpMs, windowMs, port: server.port }));
    }
  } finally {
    await server.stop();
  }
  return measured;
}

async function measureFleet({ node, rounds, warmUpMs, windowMs, port }) {
  const processes = [];
  try {
    for (const { id: library } of queryLibraries) {
      for (const setUp of setUps) {
        const child = await startQueries(node, library, setUp, port);
        processes.push({ id: `${library}-${setUp}`, child });
        await child.ask('measure', { windowMs: warmUpMs });
      }
    }
    const measured = [];
    for (let round = 0; round < rounds; round++) {
      const results = {};
      for (let i = 0; i < processes.length; i++) {
        const { id, child } = processes[(i + round) % processes.length];
        results[id] = await child.ask('measure', { windowMs });
      }
      measured.push(results);
    }
    return measured;
  } finally {
    await Promise.all(processes.map(({ child }) => child.stop()));
  }
}

/** Starts the newest PostgreSQL of Debian on a free port, with an empty folder. It refuses to run as root. */
async function startPostgres() {
  const version = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((one, other) => Number(other) - Number(one))[0] : undefined;
  if (version === undefined) throw new Error(`queries: "${VERSIONS}" has no PostgreSQL`);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const port = await freePort();
  const isRoot = process.getuid() === 0;
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  const command = (name, args) => {
    const program = join(VERSIONS, version, 'bin', name);
    return isRoot ? ['setpriv', ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', program, ...args].map(String)] : [program, args];
  };
  const data = join(folder, 'data');
  const made = spawnSync(...command('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-N']), { cwd: '/', encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`queries: initdb failed\n${made.stderr}`);
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, `unix_socket_directories=${folder}`, 'fsync=off'];
  const server = spawn(...command('postgres', ['-D', data, ...settings.flatMap(one => ['-c', one])]), { cwd: '/', stdio: 'pipe' });
  const ended = new Promise(resolve => server.once('close', resolve));
  await new Promise((resolve, reject) => {
    server.stderr.on('data', text => /ready to accept connections/.test(text) && resolve());
    void ended.then(() => reject(new Error('queries: PostgreSQL has ended')));
  });
  return {
    port,
    async stop() {
      server.kill('SIGINT');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

async function freePort() {
  const server = createServer();
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise(resolve => server.close(resolve));
  return port;
}
