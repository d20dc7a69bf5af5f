/** What both tables need: a folder outside the repository, the packed tarball, Node binaries from npm, commands with a deadline. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const NODE_MAJORS = ['20', '22', '24'];

const QUIET = ['--no-audit', '--no-fund', '--loglevel=error', '--no-package-lock'];

/** A folder outside the repository. With `kept`, that one, whose installs are used again; else a new one that is removed at the end. */
export function openWorkbench(kept) {
  const directory = kept ?? mkdtempSync(join(tmpdir(), 'nestjs-tracing-'));
  mkdirSync(directory, { recursive: true });
  if (kept === undefined) process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs a command without standard input; resolves to its output, rejects with the output's end when it fails or takes too long. */
export function run(command, args, { cwd, env = {}, timeoutMs = 180_000 }) {
  return new Promise((resolve, reject) => {
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|OTEL_|NODE_)/.test(name)));
    const child = spawn(command, args, { cwd, env: { ...inherited, NODE_ENV: 'test', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = chunk => (output += chunk);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ${args.join(' ')} (in ${cwd}): ${signal ?? `exit ${code}`}\n${output.slice(-4000)}`));
    });
  });
}

/** `npm install` of exactly these packages into `directory`, unless the same were installed there before. */
export async function install(directory, manifest, ...flags) {
  const file = join(directory, 'package.json');
  const wanted = JSON.stringify({ private: true, ...manifest }, undefined, 2);
  if (existsSync(join(directory, '.installed')) && readFileSync(join(directory, '.installed'), 'utf8') === wanted) return;
  rmSync(join(directory, 'node_modules'), { recursive: true, force: true });
  write(file, wanted);
  await run('npm', ['install', ...flags, ...QUIET], {
    cwd: directory,
    env: { NODE_ENV: 'development' },
    timeoutMs: 600_000,
  });
  write(join(directory, '.installed'), wanted);
}

/** Adds the tarball to what is installed in `directory`. */
export function add(directory, tarball) {
  return run('npm', ['install', tarball, '--no-save', ...QUIET], { cwd: directory, env: { NODE_ENV: 'development' } });
}

/** Paths of one binary per Node major, from the packages that the `node` package on npm is made of: no install script, no download. */
export async function installNodes(workbench, majors) {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const directory = join(workbench, 'node');
  const names = majors.map(major => [`node${major}`, `npm:node-${platform}-${process.arch}@${major}`]);
  await install(directory, { name: 'node-binaries', dependencies: Object.fromEntries(names) });
  const binary = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';
  return new Map(majors.map(major => [major, join(directory, 'node_modules', `node${major}`, binary)]));
}

/** Builds and packs the library; the path of the tarball. */
export async function pack(workbench) {
  await run('npm', ['pack', '--pack-destination', workbench, '--loglevel=error'], { cwd: root, env: { NODE_ENV: 'development' } });
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return join(workbench, `${name}-${version}.tgz`);
}

/** Writes a file and the folders above it. */
export function write(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** Runs tasks, at most `width` at a time, in order. */
export async function inTurns(width, tasks) {
  const waiting = [...tasks];
  const worker = async () => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await task();
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** A table as text: the first row is the head. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => [...row[column]].length)));
  const line = row => `| ${row.map((cell, column) => cell + ' '.repeat(widths[column] - [...cell].length)).join(' | ')} |`;
  return [line(rows[0]), line(widths.map(width => '-'.repeat(width))), ...rows.slice(1).map(line)].join('\n');
}
