/**
 * Runs this project's own specs on other Nest and Node versions and prints the table. Nest 12 runs in place, another Nest in a copy of
 * lib/ and test/ with that Nest installed.
 *
 * npm run test:matrix -- [--nest 11] [--node 20|22|24|here] [--dir <folder to use again>] [path of specs ...]
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { install, installNodes, NODE_MAJORS, openWorkbench, root, run, table } from './workbench.js';

/** Packages that count their majors, or their versions, apart from Nest's. */
const OF_NEST_11 = {
  'amqp-connection-manager': '4.1.15',
  amqplib: '0.10.9',
  ioredis: '5.11.1',
  nats: '2.29.3',
  '@nestjs/apollo': '13',
  '@nestjs/bull': '11.0.5',
  '@nestjs/bullmq': '11.0.5',
  '@nestjs/cqrs': '11.0.3',
  '@nestjs/event-emitter': '3.1.0',
  '@nestjs/graphql': '13',
  '@nestjs/mercurius': '13',
  '@nestjs/cache-manager': '3.1.3',
  '@nestjs/mongoose': '11.0.4',
  '@nestjs/typeorm': '11.0.3',
  '@nestjs/schedule': '6.1.3',
  bullmq: '5.81.5',
};

/** What differs from package.json; packages that are not named here take the major of Nest itself. */
const NESTS = new Map([
  ['11.1.4', { nest: '11.1.4', '@nestjs/axios': '4.0.0', '@golevelup/nestjs-rabbitmq': '6.1.0', ...OF_NEST_11 }],
  ['11', { nest: '11', '@nestjs/axios': '4.0.1', ...OF_NEST_11 }],
  ['12', undefined],
]);

const { values: options, positionals: paths } = parseArgs({
  allowPositionals: true,
  options: { nest: { type: 'string' }, node: { type: 'string' }, dir: { type: 'string' } },
});
const nests = options.nest === undefined ? [...NESTS.keys()] : [options.nest];
const majors = options.node === undefined ? NODE_MAJORS : [options.node];
const workbench = openWorkbench(options.dir);
const nodes = options.node === 'here' ? new Map([['here', process.execPath]]) : await installNodes(workbench, majors);

const rows = [];
const failures = [];
for (const nest of nests) {
  const folder = NESTS.get(nest) === undefined ? root : await copyWithNest(nest);
  const cells = [];
  for (const major of majors) cells.push(await runSpecs(`Nest ${nest}, Node ${major}`, folder, nodes.get(major)));
  rows.push([nest, ...cells]);
}
for (const failure of failures) console.error(`\n${failure}`);
console.log(`\n${table([['Nest', ...majors.map(major => `Node ${major}`)], ...rows])}`);
process.exitCode = failures.length === 0 ? 0 : 1;

async function copyWithNest(nest) {
  const { nest: version, ...others } = NESTS.get(nest);
  const folder = join(workbench, `specs-nest${nest}`);
  console.log(`installing Nest ${version}`);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const development = Object.entries({ ...others, ...manifest.devDependencies }).map(([dependency, own]) => {
    return [dependency, others[dependency] ?? (dependency.startsWith('@nestjs/') ? version : own)];
  });
  for (const part of [
    'lib',
    'test',
    'sample',
    'jest.config.js',
    'tsconfig.json',
    'tsconfig.build.json',
    'tsconfig.cjs.json',
    '.ci/build.js',
  ]) {
    rmSync(join(folder, part), { recursive: true, force: true });
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  // What overrides.@golevelup/nestjs-rabbitmq is for, a package that asks for Nest 11, is not needed here.
  // Libraries that are tried in several versions ask for different versions of each other.
  await install(folder, { ...manifest, overrides: undefined, devDependencies: Object.fromEntries(development) }, '--force');
  await run(process.execPath, ['lib/viewer/page/build.js'], { cwd: folder });
  return folder;
}

async function runSpecs(label, folder, node) {
  const report = join(workbench, 'report.json');
  rmSync(report, { force: true });
  // These look at the repository, the package, the viewer, plain functions and other programs, not at Nest.
  const flags = [
    '--ci',
    '--silent',
    '--json',
    `--outputFile=${report}`,
    '--testPathIgnorePatterns=/test/(contract|consumers|foreign|backends|bench|conventions|viewer|sdk/span)/',
  ];
  // Behind the flags, paths would be further patterns to ignore.
  const failed = await run(node, ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', ...paths, ...flags], {
    cwd: folder,
    timeoutMs: 1_400_000,
  }).then(
    () => undefined,
    error => error,
  );
  const result = readReport(report);
  if (failed !== undefined) failures.push(result === undefined ? `${label}: ${failed.message}` : `${label}:\n${failuresIn(result)}`);
  const cell = result === undefined ? 'FAILED' : `${result.numPassedTests} passed, ${result.numFailedTests} failed`;
  console.log(`${label}: ${cell}`);
  return cell;
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

function failuresIn(result) {
  return result.testResults
    .filter(suite => suite.status === 'failed')
    .map(suite => suite.message)
    .join('\n');
}
