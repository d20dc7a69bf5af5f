/** Makes the programs of this folder ready to run: with Go, with Python and with the SDK 3 line, each fetched once and kept in the cache. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Found } from './found.js';
import { type Command, Program, reasonIn } from '../../sample/runner/program.js';

const FETCH_TIMEOUT_MS = 300_000;
const VERSION_TIMEOUT_MS = 30_000;

/** Below the repository's node_modules, where no tool of the repository looks. */
export const CACHE = join(process.cwd(), 'node_modules/.cache/nestjs-tracing-foreign');
const here = (name: string) => join(process.cwd(), 'test/foreign', name);

/** The Go service, built; what cannot be fetched is missing, what cannot be compiled is an error. */
export async function goService(): Promise<Found<Command>> {
  const cwd = here('go');
  const version = await Program.run({ command: 'go', args: ['version'] }, VERSION_TIMEOUT_MS);
  if (version.code !== 0) return { missing: 'Go is not on this machine' };
  const fetched = await Program.run({ command: 'go', args: ['list', '-mod=readonly', '-deps', '.'], cwd }, FETCH_TIMEOUT_MS);
  if (fetched.code !== 0) return { missing: `the Go modules cannot be fetched: ${reasonIn(fetched.output)}` };
  const binary = join(CACHE, process.platform === 'win32' ? 'go-service.exe' : 'go-service');
  const built = await Program.run(
    { command: 'go', args: ['build', '-mod=readonly', '-trimpath', '-o', binary, '.'], cwd },
    FETCH_TIMEOUT_MS,
  );
  if (built.code !== 0) throw new Error(`test/foreign/go cannot be built:\n${built.output}`);
  return { thing: { command: binary } };
}

/** A Python service in a virtual environment of its own. */
export async function pythonService(name: 'python' | 'python-grpc' = 'python'): Promise<Found<Command>> {
  const folder = join(CACHE, name);
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const wanted = readFileSync(here(`${name}/requirements.txt`), 'utf8');
  const missing = await installOnce(folder, wanted, async () => {
    const created = await Program.run({ command: 'python3', args: ['-m', 'venv', folder] }, FETCH_TIMEOUT_MS);
    if (created.code !== 0) return 'python3 with venv is not on this machine';
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', here(`${name}/requirements.txt`)];
    const installed = await Program.run({ command: python, args }, FETCH_TIMEOUT_MS);
    return installed.code === 0 ? undefined : `the Python packages cannot be fetched: ${reasonIn(installed.output)}`;
  });
  return missing === undefined ? { thing: { command: python, args: [here(`${name}/service.py`)] } } : { missing };
}

/** The sender with OpenTelemetry's SDK 3, to be followed by what it is to send, and where. */
export async function sdk3Sender(): Promise<Found<Command>> {
  const folder = join(CACHE, 'sdk3');
  const files = ['package.json', 'package-lock.json', 'sender.mjs'];
  const wanted = files.map(file => readFileSync(here(`sdk3/${file}`), 'utf8')).join('\n');
  const missing = await installOnce(folder, wanted, async () => {
    for (const file of files) copyFileSync(here(`sdk3/${file}`), join(folder, file));
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const installed = await Program.run({ command: 'npm', args, cwd: folder }, FETCH_TIMEOUT_MS);
    return installed.code === 0 ? undefined : `the packages of SDK 3 cannot be fetched: ${reasonIn(installed.output)}`;
  });
  return missing === undefined ? { thing: { command: process.execPath, args: [join(folder, 'sender.mjs')] } } : { missing };
}

/** Installs what was not installed yet into an empty folder; why it could not, otherwise. */
async function installOnce(folder: string, wanted: string, install: () => Promise<string | undefined>): Promise<string | undefined> {
  const stamp = join(folder, '.installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return undefined;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const missing = await install();
  if (missing === undefined) writeFileSync(stamp, wanted);
  return missing;
}
