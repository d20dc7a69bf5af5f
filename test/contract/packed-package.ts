/** Builds and packs the library in a folder of its own and unpacks the tarball as a user would get it, beside what a user has. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = process.cwd();
const SOURCES = [
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.cjs.json',
  '.ci/build.js',
  'lib',
  'docs',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
];

export interface Manifest {
  name: string;
  /** What npm packs; package.json, README.md and LICENSE it takes in any case. */
  files: string[];
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional?: boolean }>;
}

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

/** Packages that every user of the library has: its dependencies and the peers that are not optional. */
export const packagesUsersHave: readonly string[] = [
  ...Object.keys(manifest.dependencies),
  ...Object.keys(manifest.peerDependencies).filter(name => manifest.peerDependenciesMeta[name]?.optional !== true),
];

export interface PackedPackage {
  /** A folder with node_modules that holds the package and {@link packagesUsersHave}. */
  readonly consumer: string;
  /** The unpacked package in it. */
  readonly folder: string;
  readonly remove: () => void;
}

export function packPackage(): PackedPackage {
  const workbench = mkdtempSync(join(tmpdir(), 'packed-package-'));
  const source = join(workbench, 'source');
  mkdirSync(source);
  for (const file of SOURCES) cpSync(join(root, file), join(source, file), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(source, 'node_modules'), 'dir');
  execFileSync('npm', ['pack', '--pack-destination', workbench, '--loglevel=error'], { cwd: source, stdio: 'pipe' });
  const tarball = readdirSync(workbench).find(file => file.endsWith('.tgz')) ?? 'no tarball';
  execFileSync('tar', ['-xzf', tarball], { cwd: workbench });

  const consumer = join(workbench, 'consumer');
  const folder = join(consumer, 'node_modules', manifest.name);
  mkdirSync(dirname(folder), { recursive: true });
  renameSync(join(workbench, 'package'), folder);
  for (const name of [...packagesUsersHave, '@types/node']) {
    mkdirSync(dirname(join(consumer, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(consumer, 'node_modules', name), 'dir');
  }
  return { consumer, folder, remove: () => rmSync(workbench, { recursive: true, force: true }) };
}
