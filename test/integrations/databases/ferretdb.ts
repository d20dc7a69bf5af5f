/** Runs FerretDB, a server for MongoDB's protocol that keeps its data in SQLite. Its Go module is built once, into node_modules. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type BrokerKind, reasonWithout } from '../../../sample/brokers/broker.js';
import { Program, reasonIn } from '../../../sample/runner/program.js';

const VERSION = 'v1.24.0';
const MODULE = `github.com/FerretDB/FerretDB@${VERSION}`;
/** The checksum of the module. The module's go.sum has those of its dependencies. */
const SUM = 'h1:7WJmezL48Bj9bYWnhT/bEJgX5gjT5s7LFdHTqkN25rA=';
const BINARY = join(process.cwd(), `node_modules/.cache/nestjs-tracing-brokers/ferretdb-${VERSION}`);
const TIMEOUT_MS = 300_000;

export const ferretdb: BrokerKind = {
  name: 'ferretdb',
  missing: () => (existsSync(BINARY) ? undefined : (reasonWithout('go') ?? build())),
  launch(port, folder) {
    const data = join(folder, 'data');
    mkdirSync(data, { recursive: true });
    const settings = {
      handler: 'sqlite',
      'sqlite-url': `file:${data}/`,
      'state-dir': folder,
      'listen-addr': `127.0.0.1:${port}`,
      'debug-addr': '-',
      telemetry: 'disable',
    };
    const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    return Program.start({ command: BINARY, args, cwd: folder }, /(Listening on TCP)/);
  },
};

/** Takes a minute, and two seconds where Go has the packages compiled. Returns the reason why it cannot be built here, or undefined. */
function build(): string | undefined {
  const fetched = go(['mod', 'download', '-json', MODULE]);
  if (fetched.status !== 0) return `the Go module cannot be fetched: ${reasonIn(fetched.output)}`;
  const { Dir, Sum } = JSON.parse(fetched.stdout) as { Dir: string; Sum: string };
  if (Sum !== SUM) throw new Error(`The checksum of ${MODULE} is ${Sum} instead of ${SUM}.`);
  mkdirSync(dirname(BINARY), { recursive: true });
  const folder = mkdtempSync(`${BINARY}.part-`);
  try {
    const source = join(folder, 'source');
    copyWritable(Dir, source);
    // Its release writes this file, which the module lacks.
    writeFileSync(join(source, 'build/version/version.txt'), VERSION);
    const packages = go(['list', '-mod=readonly', '-tags=ferretdb_no_postgresql', '-deps', './cmd/ferretdb'], source);
    if (packages.status !== 0) return `the Go modules cannot be fetched: ${reasonIn(packages.output)}`;
    process.stderr.write(`FerretDB is built, once. This takes a minute.\n`);
    const flags = ['-mod=readonly', '-buildvcs=false', '-trimpath', '-ldflags=-s -w', '-tags=ferretdb_no_postgresql'];
    const built = go(['build', ...flags, '-o', join(folder, 'ferretdb'), './cmd/ferretdb'], source);
    if (built.status !== 0) throw new Error(`${MODULE} cannot be built:\n${built.output.slice(-4000)}`);
    // Another process may build it at the same time.
    renameSync(join(folder, 'ferretdb'), BINARY);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function go(args: readonly string[], cwd?: string) {
  const { status, stdout, stderr } = spawnSync('go', args, { cwd, encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 });
  return { status, stdout, output: `${stdout}${stderr}` };
}

/** Go keeps modules read-only. */
function copyWritable(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  for (const entry of ['.', ...readdirSync(to, { recursive: true, encoding: 'utf8' })]) chmodSync(join(to, entry), 0o755);
}
