/** Takes CPU profiles of variants under load and tells where the time of tracing goes, function by function. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startDownstream, startLoad, startServer } from './processes.mjs';

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
const TOP = 25;

const OURS = 'nestjs-tracing';
const OTEL = 'opentelemetry';
/** Whose code a frame is, by its address; the first that fits. What none claims is the engine's or an application's. */
const OWNERS = [
  [OURS, /^(?!.*\/node_modules\/).*\/dist\/(esm|cjs)\//],
  ['minimum', /\/set-ups\/minimum/],
  [OTEL, /\/node_modules\/(@opentelemetry|@fastify\/otel|import-in-the-middle|nestjs-otel)\//],
  ['nest', /\/node_modules\/@nestjs\//],
  ['other packages', /\/node_modules\//],
  ['application', /\/test\/bench\//],
  ['node', /^node:/],
];
const TRACING = new Set([OURS, 'minimum', OTEL]);
/** Frames that work for whoever called them. */
const SERVANTS = new Set(['node', 'engine', OTEL]);

/** Resolves to the profile of a variant under load as `{ owners, functions }`, in µs per request. */
export async function profileVariant({ node, adapter, route, variant, warmUpMs, windowMs, peers, directory }) {
  const file = fileURLToPath(new URL(`${variant.id}-${adapter}.cpuprofile`, directory));
  const [load, downstream] = await Promise.all([startLoad(), startDownstream()]);
  const server = await startServer({ node, adapter, variant, downstream: downstream.port, peers });
  try {
    await load.ask('start', { port: server.port, path: `/${route}`, caller: variant.caller });
    await pause(warmUpMs);
    await server.ask('startProfile');
    const before = await server.ask('sample');
    await pause(windowMs);
    const after = await server.ask('sample');
    await server.ask('stopProfile', { file });
    await load.ask('stop');
    return { file, ...summarize(JSON.parse(readFileSync(file, 'utf8')), after.handled - before.handled) };
  } finally {
    await Promise.all([server.stop(), load.stop(), downstream.stop()]);
  }
}

/**
 * `self`: time in a function's own code. `caused`: that, and the time in Node, the engine and OpenTelemetry below it, as far as no code of
 * the application or its packages stands between; so it is the time that would go if the function's calls went.
 */
function summarize({ nodes, samples, timeDeltas }, requests) {
  const byId = new Map(nodes.map(node => [node.id, { ...node, owner: ownerOf(node), time: 0 }]));
  for (const node of byId.values()) for (const child of node.children ?? []) byId.get(child).parent = node;
  samples.forEach((id, i) => (byId.get(id).time += Math.max(0, timeDeltas[i])));

  const owners = new Map();
  const functions = new Map();
  for (const node of byId.values()) {
    if (node.time === 0 || isOfProfiler(node)) continue;
    const time = node.time / requests;
    owners.set(node.owner, (owners.get(node.owner) ?? 0) + time);
    functionOf(functions, node).self += time;
    const cause = causeOf(node);
    if (cause !== undefined) functionOf(functions, cause).caused += time;
  }
  return { owners, functions };
}

/** The nearest function of the library, or of OpenTelemetry where nobody else called it, that a sample was taken on behalf of. */
function causeOf(leaf) {
  let last;
  for (let node = leaf; node !== undefined; node = node.parent) {
    if (TRACING.has(node.owner)) last = node;
    if (!SERVANTS.has(node.owner)) break;
  }
  return last;
}

function functionOf(functions, { callFrame: { functionName, url, lineNumber }, owner }) {
  const place = `${url.replace(/^.*\/(node_modules|dist|bench)\//, '')}:${lineNumber + 1}`;
  const key = `${functionName} ${place}`;
  if (!functions.has(key)) functions.set(key, { name: functionName || '(anonymous)', place, owner, self: 0, caused: 0 });
  return functions.get(key);
}

/** Waiting, and the profiler's own work. */
function isOfProfiler({ callFrame: { functionName, url } }) {
  return functionName === '(idle)' || url.startsWith('node:inspector');
}

function ownerOf({ callFrame: { functionName, url } }) {
  if (functionName === '(garbage collector)' || functionName === '(program)') return functionName.slice(1, -1);
  if (url === '') return 'engine';
  return OWNERS.find(([, address]) => address.test(url))?.[0] ?? 'engine';
}

/**
 * The profiles as text: whose time it was, variant by variant; then for each variant the functions of tracing, and the functions of others
 * that take longer than in the first profile.
 */
export function printProfiles(profiles) {
  const [first] = profiles;
  const owners = [...new Set(profiles.flatMap(({ profile }) => [...profile.owners.keys()]))].sort();
  const row = (title, cells) => `${title.padEnd(20)}${cells.map(cell => cell.padStart(10)).join('')}`;
  const cells = read => profiles.map(({ profile }) => read(profile).toFixed(2));
  const lines = [
    row(
      'µs per request',
      profiles.map(({ variant }) => variant.id),
    ),
    ...owners.map(owner =>
      row(
        owner,
        cells(profile => profile.owners.get(owner) ?? 0),
      ),
    ),
    row(
      'sum',
      cells(profile => [...profile.owners.values()].reduce((sum, time) => sum + time, 0)),
    ),
  ];
  for (const { variant, profile } of profiles) {
    const all = [...profile.functions];
    const tracing = all.filter(([, { owner, caused }]) => TRACING.has(owner) || caused > 0).map(([, found]) => found);
    if (tracing.length > 0) {
      lines.push('', `${variant.id}: ${variant.title} (${profile.file})`, `${'caused'.padStart(8)}${'self'.padStart(8)}  function`);
      lines.push(...top(tracing, ({ caused, self }) => caused + self).map(found => line(found.caused, found.self, found)));
    }
    if (profile === first.profile) continue;
    const slower = all
      .filter(([, { owner }]) => !TRACING.has(owner))
      .map(([key, found]) => ({ ...found, more: found.self - (first.profile.functions.get(key)?.self ?? 0) }));
    lines.push('', `${variant.id}: what takes longer than in ${first.variant.id}`, `${'more'.padStart(8)}${'self'.padStart(8)}  function`);
    lines.push(...top(slower, ({ more }) => more).map(found => line(found.more, found.self, found)));
  }
  return lines.join('\n');
}

function top(list, weight) {
  return list.sort((one, other) => weight(other) - weight(one)).slice(0, TOP);
}

function line(first, second, { name, place }) {
  return `${first.toFixed(2).padStart(8)}${second.toFixed(2).padStart(8)}  ${name}  ${place}`;
}
