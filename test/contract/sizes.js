/** Prints what the built package weighs, and fails past the limits. Run after a build: npm run lint:package */
import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const KB = 1000;

/** Our own code of an entry point in one file, minified and compressed: what a bundler adds to an application besides dependencies. */
async function bundled(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    packages: 'external',
  });
  return gzipSync(outputFiles[0].contents).length;
}

const [packed] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { encoding: 'utf8', stdio: 'pipe' }));
const sizes = [
  { what: 'nestjs-tracing, minified and gzipped', bytes: await bundled('dist/esm/index.js'), limit: 40 * KB },
  { what: 'nestjs-tracing/testing, minified and gzipped', bytes: await bundled('dist/esm/testing/index.js'), limit: 8 * KB },
  { what: 'nestjs-tracing/viewer, minified and gzipped', bytes: await bundled('dist/esm/viewer/index.js'), limit: 8 * KB },
  { what: 'tarball', bytes: packed.size, limit: 180 * KB },
  { what: 'unpacked package', bytes: packed.unpackedSize, limit: 900 * KB },
];
for (const { what, bytes, limit } of sizes) {
  console.log(`${bytes > limit ? 'TOO BIG' : 'ok     '} ${(bytes / KB).toFixed(1).padStart(7)} kB of ${limit / KB} kB  ${what}`);
}
process.exitCode = sizes.some(({ bytes, limit }) => bytes > limit) ? 1 : 0;
