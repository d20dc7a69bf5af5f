/**
 * Installs the packed library into small applications, runs each kind on every Nest and Node it is for, and prints the table.
 *
 * npm run test:consumers -- [--each-kind-once] [--kind <name>] [--nest 11|12|11.1.4] [--node 20|22|24] [--dir <folder to use again>] [--jobs <n>]
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureFootprint } from './footprint.js';
import { FRESH } from './fresh.js';
import { KINDS, layOut, sharedPackages } from './kinds.js';
import { NEIGHBOURS } from './neighbours.js';
import { add, inTurns, install, installNodes, NODE_MAJORS, openWorkbench, pack, table } from './workbench.js';

const { values: options } = parseArgs({
  options: {
    'each-kind-once': { type: 'boolean', default: false },
    kind: { type: 'string' },
    nest: { type: 'string' },
    node: { type: 'string' },
    dir: { type: 'string' },
    jobs: { type: 'string', default: '2' },
  },
});

const kinds = [...KINDS, ...NEIGHBOURS, ...FRESH];
const workbench = openWorkbench(options.dir);
const rows = chooseRows();
const majors = NODE_MAJORS.filter(major => options.node === undefined || options.node === major);
const failures = [];
if (rows.length === 0 || majors.length === 0) throw new Error('No consumer is like that.');

const tarball = await pack(workbench);
const nodes = await installNodes(workbench, majors);
const homes = new Map(rows.map(row => [homeOf(row), row.kind.packages?.(row.nest) ?? sharedPackages(row.nest)]));
for (const [home, dependencies] of homes) {
  const folder = join(workbench, home);
  await install(folder, { name: `consumers-${home}`, dependencies });
  await add(folder, tarball);
}
await inTurns(
  Number(options.jobs),
  rows.map(row => () => runRow(row)),
);

console.log(
  `\n${table([['consumer', 'Nest', ...majors.map(major => `Node ${major}`)], ...rows.map(row => [row.kind.name, row.nest, ...row.cells])])}`,
);
if (options.kind === undefined) await attempt('footprint', async () => console.log(`\n${await measureFootprint(workbench, tarball)}`));
for (const failure of failures) console.error(`\n${failure}`);
console.log(failures.length === 0 ? '\nEvery consumer runs.' : `\n${failures.length} failed.`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** A row is one kind on one Nest. */
function chooseRows() {
  const all = kinds
    .flatMap(kind => kind.nests.map(nest => ({ kind, nest, cells: [] })))
    .filter(row => options.kind === undefined || row.kind.name.includes(options.kind))
    .filter(row => options.nest === undefined || row.nest === options.nest);
  return options['each-kind-once'] ? all.filter(row => row.kind.ci === row.nest) : all;
}

/** The folder that has the packages of a row. */
function homeOf({ kind, nest }) {
  return kind.packages === undefined ? `nest${nest}` : `nest${nest}-${slugOf(kind)}`;
}

function slugOf({ name }) {
  return name.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase();
}

async function runRow(row) {
  const { kind, nest } = row;
  const folder = join(workbench, homeOf(row), `${slugOf(kind)}-${kinds.indexOf(kind)}`);
  const label = `${kind.name}, Nest ${nest}`;
  rmSync(folder, { recursive: true, force: true });
  layOut(kind, folder);
  const prepared = await attempt(label, () => kind.prepare?.(folder));
  for (const major of majors) {
    const isFor = kind.nodes?.includes(major) ?? true;
    const passed = isFor && prepared && (await attempt(`${label}, Node ${major}`, () => runCell(kind, nodes.get(major), folder)));
    row.cells.push(isFor ? (passed ? 'ok' : 'FAILED') : '-');
  }
  console.log(`${label}: ${row.cells.join(' ')}`);
}

async function runCell(kind, node, folder) {
  const output = await kind.run(node, folder);
  if (kind.proof !== undefined && !kind.proof.test(output)) throw new Error(`no sign of ${kind.proof} in: ${output}`);
}

async function attempt(label, step) {
  try {
    await step();
    return true;
  } catch (error) {
    failures.push(`${label}: ${error.message}`);
    return false;
  }
}
