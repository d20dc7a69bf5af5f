/** The command: measures what tracing costs and prints the tables of README.md. `npm run bench -- --help` says what it can be told. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { measureCalls } from './calls.mjs';
import { help, readCommandLine, ROUTES } from './command-line.mjs';
import { measureEncoding } from './encoding.mjs';
import { measureInProcess } from './in-process.mjs';
import { installNode, installPeers } from './installs.mjs';
import { isPinned } from './processes.mjs';
import { measureMessages } from './messages.mjs';
import { printProfiles, profileVariant } from './profile.mjs';
import { measureQueries } from './queries.mjs';
import { callTable, encodingTable, inProcessTable, messageTable, queryTable, ratioOf, requestTable, startTable } from './report.mjs';
import { addedCpu, measureRequests } from './requests.mjs';
import { measureStarts } from './starts.mjs';
import { AGAINST, starts, variants } from './variants.mjs';

/** How many times the bare minimum ours may cost in CI, on a machine whose noise nobody knows. */
const CI_MARGIN = 2;
const folder = new URL('.', import.meta.url);

const { isHelp, isCi, isInProcess, nodes, adapters, parts, profile, lengths, against, ...chosen } = readCommandLine(process.argv.slice(2));
const tell = text => console.error(text);
const shown = variants.filter(({ id }) => (profile ?? chosen.variants).includes(id));
const peers = !isHelp && shown.some(variant => variant.needsPeers) ? installPeers() : undefined;
if (against !== undefined) {
  rmSync(new URL(AGAINST), { recursive: true, force: true });
  cpSync(against, new URL(AGAINST), { recursive: true });
}
const routes = parts.filter(part => ROUTES.includes(part));

if (isHelp) console.log(help);
else if (!existsSync(new URL('../../dist/esm/index.js', folder))) throw new Error('dist/ is missing: npm run build');
else if (profile !== undefined) await profileAll();
else if (isInProcess) await measureAllInProcess();
else await measureAll();

async function measureAll() {
  const results = {
    taken: new Date().toISOString(),
    cpu: cpus()[0]?.model,
    isPinned,
    lengths,
    requests: [],
    messages: [],
    queries: [],
    calls: [],
    encoding: [],
    starts: [],
  };
  const print = table => console.log(`${table}\n`);
  for (const [version, node] of versions()) {
    for (const route of routes) {
      const measured = { node: version, route, results: {} };
      for (const adapter of adapters) measured.results[adapter] = await measureRoute(node, adapter, route);
      results.requests.push(measured);
      print(requestTable(measured));
    }
    if (parts.includes('messages')) {
      const measured = { node: version, results: await measureMessages({ ...lengths, node, tell }) };
      results.messages.push(measured);
      print(messageTable(measured));
    }
    if (parts.includes('queries')) {
      const measured = { node: version, results: await measureQueries({ ...lengths, node, tell }) };
      results.queries.push(measured);
      print(queryTable(measured));
    }
    if (parts.includes('calls')) {
      const { processes, callRounds: rounds } = lengths;
      const measured = { node: version, results: await measureCalls({ node, processes, rounds, tell }) };
      results.calls.push(measured);
      print(callTable(measured));
    }
    if (parts.includes('encoding')) {
      const { processes, encodingRounds: rounds } = lengths;
      const measured = { node: version, results: await measureEncoding({ node, processes, rounds, tell }) };
      results.encoding.push(measured);
      print(encodingTable(measured));
    }
    if (parts.includes('starts')) {
      const affordable = starts.filter(start => peers !== undefined || !start.needsPeers);
      for (const adapter of adapters) {
        const settings = { node, adapter, starts: affordable, rounds: lengths.startRounds, peers, tell };
        const measured = { node: version, adapter, results: await measureStarts(settings) };
        results.starts.push(measured);
        print(startTable(measured));
      }
    }
  }
  console.log(`${results.taken.slice(0, 10)}, ${results.cpu}, ${isPinned ? 'servers and load on a core each' : 'not pinned'}.`);
  writeFileSync(new URL('results.json', folder), JSON.stringify(results));
  if (isCi) await holdMargin(results.requests);
}

function measureRoute(node, adapter, route, { rounds } = lengths) {
  const taking = shown.filter(variant => variant.routes.includes(route));
  return measureRequests({ ...lengths, rounds, node, adapter, route, variants: taking, peers, tell });
}

/** Fails only where a second, longer look says the same. */
async function holdMargin(requests) {
  for (const { results } of requests) {
    for (const adapter of Object.keys(results)) {
      let { ratio } = ratioOf(addedCpu(results[adapter]), 'b', 'c');
      if (ratio > CI_MARGIN) {
        tell(`${adapter}: ours costs ${ratio.toFixed(2)} times the minimum; measured again`);
        const again = await measureRoute(process.execPath, adapter, 'users', { rounds: lengths.rounds * 2 });
        ({ ratio } = ratioOf(addedCpu(again), 'b', 'c'));
      }
      const isHeld = ratio <= CI_MARGIN;
      console.log(`${adapter}: ours / minimum = ${ratio.toFixed(2)}, margin ${CI_MARGIN}: ${isHeld ? 'held' : 'EXCEEDED'}`);
      if (!isHeld) process.exitCode = 1;
    }
  }
}

async function measureAllInProcess() {
  for (const [version, node] of versions()) {
    const results = {};
    for (const adapter of adapters) {
      results[adapter] = await measureInProcess({
        node,
        adapter,
        variants: shown.filter(variant => variant.routes.includes('users')),
        processes: lengths.processes,
        peers,
        tell,
      });
    }
    console.log(`${inProcessTable({ node: version, results })}\n`);
  }
}

async function profileAll() {
  for (const [version, node] of versions()) {
    for (const route of routes) {
      for (const adapter of adapters) {
        const profiles = [];
        for (const variant of shown) {
          tell(`profile of ${variant.id}: ${adapter} /${route} on ${version}`);
          const taken = {
            node,
            adapter,
            route,
            variant,
            warmUpMs: lengths.warmUpMs,
            windowMs: 5 * lengths.windowMs,
            peers,
            directory: folder,
          };
          profiles.push({ variant, profile: await profileVariant(taken) });
        }
        console.log(`\n${adapter} /${route} on Node ${version}\n\n${printProfiles(profiles)}`);
      }
    }
  }
}

/** Version and binary of each Node that was asked for, each version once. */
function versions() {
  return new Map(
    nodes.map(name => {
      const node = installNode(name);
      return [spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim().slice(1), node];
    }),
  );
}
