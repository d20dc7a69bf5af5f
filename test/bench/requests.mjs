/** Measures the CPU time that each variant adds to a request, in rounds that visit all variants one after the other. */
import { startDownstream, startLoad, startServer } from './processes.mjs';
import { BARE } from './variants.mjs';

const FEWEST_REQUESTS = 100;
const MOST_WINDOWS = 20;
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * Starts all variants `fleets` times (how the compiler and memory happen to fall differs between processes) and visits them in `rounds`
 * rounds each; per visit the load runs for `leadMs` unmeasured and `windowMs` measured. Resolves to one list of rounds per fleet; a round
 * has for each variant the CPU time in µs of a request, how many spans one has been exported with so far, and the time in ms within which 99 %
 * of the answers came.
 */
export async function measureRequests({ node, adapter, route, variants, fleets, rounds, warmUpMs, leadMs, windowMs, peers, tell }) {
  const [load, downstream] = await Promise.all([startLoad(), startDownstream()]);
  const measured = [];
  try {
    for (let fleet = 0; fleet < fleets; fleet++) {
      tell(`${adapter} /${route}: start ${fleet + 1} of ${fleets}`);
      const servers = [];
      try {
        for (const variant of rotated(variants, fleet)) {
          const server = await startServer({ node, adapter, variant, downstream: downstream.port, peers });
          servers.push({ variant, server });
          await visit({ load, server, variant, route, leadMs: 0, windowMs: warmUpMs });
        }
        measured.push(await visitAll(servers, rounds, ({ variant, server }) => visit({ load, server, variant, route, leadMs, windowMs })));
      } finally {
        await Promise.all(servers.map(({ server }) => server.stop()));
      }
    }
  } finally {
    await Promise.all([load.stop(), downstream.stop()]);
  }
  return measured;
}

/** What each round measured as `{ variant: added µs }`, in the groups of the fleets. */
export function addedCpu(fleets) {
  return fleets.map(rounds =>
    rounds.map(round => Object.fromEntries(Object.entries(round).map(([id, { cpuUs }]) => [id, cpuUs - round[BARE].cpuUs]))),
  );
}

async function visitAll(servers, rounds, visitOne) {
  const measured = [];
  for (let round = 0; round < rounds; round++) {
    const results = {};
    for (const entry of rotated(servers, round)) results[entry.variant.id] = await visitOne(entry);
    measured.push(results);
  }
  return measured;
}

async function visit({ load, server, variant, route, leadMs, windowMs }) {
  await load.ask('start', { port: server.port, path: `/${route}`, caller: variant.caller });
  await pause(leadMs);
  const before = await server.ask('sample');
  let after = before;
  // On a busy machine a window may pass without an answer: it is made longer.
  for (let windows = 0; after.handled - before.handled < FEWEST_REQUESTS && windows < MOST_WINDOWS; windows++) {
    await pause(windowMs);
    after = await server.ask('sample');
  }
  const { problem, p99Ms } = await load.ask('stop');
  const handled = after.handled - before.handled;
  if (problem !== undefined || handled === 0) throw new Error(`${variant.id}: ${problem ?? 'no request was handled'}\n${server.output()}`);
  return { cpuUs: (after.cpuUs - before.cpuUs) / handled, spans: after.spans / after.handled, p99Ms };
}

function rotated(list, by) {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
