/** Measures requests without sockets: no kernel, no other core, and the fastest blocks only, so that two builds can be told apart anywhere. */
import { startInProcess } from './processes.mjs';

/** What counts is how fast it can be: everything else is the machine's doing. */
const FASTEST = 0.05;
const WARM_UP_BLOCKS = 150;
const BLOCKS = 150;

/** Resolves to ns per request by variant: the fastest of what each of `processes` processes took at best. */
export async function measureInProcess({ node, adapter, variants, processes, peers, tell }) {
  const best = Object.fromEntries(variants.map(({ id }) => [id, Number.POSITIVE_INFINITY]));
  for (let i = 0; i < processes; i++) {
    tell(`in process, ${adapter}: process ${i + 1} of ${processes} of each`);
    for (const variant of variants) {
      const child = await startInProcess({ node, adapter, variant, peers });
      try {
        await child.ask('measure', { blocks: WARM_UP_BLOCKS });
        const { ns } = await child.ask('measure', { blocks: BLOCKS });
        const fast = ns.sort((one, other) => one - other)[Math.floor(ns.length * FASTEST)];
        best[variant.id] = Math.min(best[variant.id], fast);
      } finally {
        await child.stop();
      }
    }
  }
  return best;
}
