/** Measures the CPU time from the start of a process until the application listens, and until it has answered and come to rest. */
import { startDownstream, startServer } from './processes.mjs';

const REST_MS = 700;
// Nobody listens there: exporters find a connection refused, as they do where the collector is down.
const DEAD_COLLECTOR = 'http://127.0.0.1:9';
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Resolves to `{ start: [{ listening, rested }] }` in ms; the starts take turns. */
export async function measureStarts({ node, adapter, starts, rounds, peers, tell }) {
  const measured = Object.fromEntries(starts.map(({ id }) => [id, []]));
  const downstream = await startDownstream();
  try {
    for (let round = 0; round < rounds; round++) {
      tell(`starts, ${adapter}: round ${round + 1} of ${rounds}`);
      for (let i = 0; i < starts.length; i++) {
        const variant = starts[(i + round) % starts.length];
        const env = { OTEL_EXPORTER_OTLP_ENDPOINT: DEAD_COLLECTOR };
        const server = await startServer({ node, adapter, variant, downstream: downstream.port, peers, env });
        try {
          await (await fetch(`http://127.0.0.1:${server.port}/users/1000`)).text();
          await pause(REST_MS);
          const { cpuUs } = await server.ask('sample');
          measured[variant.id].push({ listening: server.cpuUs / 1000, rested: cpuUs / 1000 });
        } finally {
          await server.stop();
        }
      }
    }
  } finally {
    await downstream.stop();
  }
  return measured;
}
