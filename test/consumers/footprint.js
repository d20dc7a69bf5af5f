/** What `npm i nestjs-tracing` adds to an application of Nest and Express, with export over OTLP working there. */
import { cpSync, existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { add, install, run } from './workbench.js';

const LIMITS = { packages: 12, megabytes: 32 };
const NEST = { '@nestjs/common': '12.5.1', '@nestjs/core': '12.5.1', '@nestjs/platform-express': '12.5.1' };
const APPLICATION = { name: 'footprint', version: '1.0.0', dependencies: { ...NEST, 'reflect-metadata': '0.2.2', rxjs: '7.8.2' } };

/** A sentence with the numbers; rejects where they are past the limits or nothing is exported. */
export async function measureFootprint(workbench, tarball) {
  const folder = join(workbench, 'footprint');
  rmSync(folder, { recursive: true, force: true });
  await install(folder, APPLICATION);
  const before = measure(join(folder, 'node_modules'));
  await add(folder, tarball);
  const after = measure(join(folder, 'node_modules'));
  cpSync(fileURLToPath(new URL('app/export-otlp.mjs', import.meta.url)), join(folder, 'export-otlp.mjs'));
  const exported = (await run(process.execPath, ['export-otlp.mjs'], { cwd: folder, env: { NODE_ENV: 'production' } })).trim();
  const packages = after.packages - before.packages;
  const megabytes = (after.bytes - before.bytes) / 1e6;
  const sentence =
    `Over Nest 12 + Express (${before.packages} packages, ${(before.bytes / 1e6).toFixed(1)} MB) npm i nestjs-tracing adds ` +
    `${packages} packages (limit ${LIMITS.packages}) and ${megabytes.toFixed(1)} MB on disk (limit ${LIMITS.megabytes}); ${exported}.`;
  if (packages > LIMITS.packages || megabytes > LIMITS.megabytes) throw new Error(sentence);
  return sentence;
}

/** Packages below a node_modules folder, and the bytes their files take on disk. */
function measure(folder) {
  let packages = 0;
  let bytes = 0;
  const visit = (directory, isPackageFolder) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      const { size, blocks } = lstatSync(path);
      bytes += blocks === undefined ? size : blocks * 512;
      if (!entry.isDirectory()) continue;
      const holdsPackages = entry.name === 'node_modules' || (isPackageFolder && entry.name.startsWith('@'));
      if (isPackageFolder && !holdsPackages && existsSync(join(path, 'package.json'))) packages++;
      visit(path, holdsPackages);
    }
  };
  visit(folder, true);
  return { packages, bytes };
}
