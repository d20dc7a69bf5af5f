/** Installs on demand what the repository does not depend on: the peers that are compared, and other versions of Node. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Below the repository's node_modules: what is installed here finds the repository's Nest, so that all variants run the same one.
const cache = fileURLToPath(new URL('../../node_modules/.cache/nestjs-tracing-bench/', import.meta.url));

/** The folder in which the peers of peers/package.json are installed. */
export function installPeers() {
  const directory = join(cache, 'peers');
  const from = fileURLToPath(new URL('peers/', import.meta.url));
  const wanted = readFileSync(join(from, 'package-lock.json'), 'utf8');
  installOnce(directory, wanted, ['ci', '--legacy-peer-deps'], () => {
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(from, file), join(directory, file));
  });
  return directory;
}

/** The binary of a version of Node, from the package on npm that ships it; `here`: the one that runs this. */
export function installNode(version) {
  if (version === 'here') return process.execPath;
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const directory = join(cache, `node-${version}`);
  installOnce(directory, `${name}@${version}`, ['install', '--no-save', `${name}@${version}`], () => {
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true }));
  });
  return join(directory, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

function installOnce(directory, wanted, command, prepare) {
  const stamp = join(directory, '.installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  prepare();
  console.error(`installing into ${directory}`);
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', [...command, ...quiet], { cwd: directory, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`npm ${command.join(' ')} failed in ${directory}`);
  writeFileSync(stamp, wanted);
}
