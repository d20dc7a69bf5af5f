/** Prints what the built package weighs, and fails past the limits. Run after a build: npm run lint:package */
import { execFileSync } from 'node:child_process';
import { relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const KB = 1000;

/**
 * Our own code of an entry point, minified and compressed: what a bundler adds to an application besides dependencies. What is only loaded
 * on demand (databases, methods, exporters, the viewer and its page) stands in chunks of its own, and is counted where `isWhole`.
 */
async function bundled(entry, isWhole = false) {
  const { metafile, outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    splitting: true,
    write: false,
    metafile: true,
    outdir: 'out',
    format: 'esm',
    platform: 'node',
    packages: 'external',
    logLevel: 'error',
  });
  const wanted = new Set(Object.keys(metafile.outputs).filter(path => isWhole || metafile.outputs[path].entryPoint === entry));
  for (const path of wanted) {
    for (const { path: imported, kind, external } of metafile.outputs[path].imports) {
      if (!external && kind === 'import-statement') wanted.add(imported);
    }
  }
  return outputFiles
    .filter(({ path }) => wanted.has(relative('.', path)))
    .reduce((sum, { contents }) => sum + gzipSync(contents).length, 0);
}

const { builtPage } = await import(new URL('../../dist/cjs/viewer/page/built-page.js', import.meta.url).href);
const [packed] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { encoding: 'utf8', stdio: 'pipe' }));
const sizes = [
  { what: 'nestjs-tracing, minified and gzipped', bytes: await bundled('dist/esm/index.js'), limit: 85 * KB },
  { what: 'the same with all that is loaded on demand', bytes: await bundled('dist/esm/index.js', true), limit: 204 * KB },
  { what: 'nestjs-tracing/testing, minified and gzipped', bytes: await bundled('dist/esm/testing/index.js'), limit: 9.4 * KB },
  { what: 'nestjs-tracing/viewer, minified and gzipped', bytes: await bundled('dist/esm/viewer/index.js'), limit: 8 * KB },
  { what: 'the page of the viewer, gzipped', bytes: gzipSync(builtPage, { level: 9 }).length, limit: 30 * 1024 },
  { what: 'tarball', bytes: packed.size, limit: 880 * KB },
  { what: 'unpacked package', bytes: packed.unpackedSize, limit: 3120 * KB },
];
for (const { what, bytes, limit } of sizes) {
  console.log(`${bytes > limit ? 'TOO BIG' : 'ok     '} ${(bytes / KB).toFixed(1).padStart(7)} kB of ${limit / KB} kB  ${what}`);
}
process.exitCode = sizes.some(({ bytes, limit }) => bytes > limit) ? 1 : 0;
