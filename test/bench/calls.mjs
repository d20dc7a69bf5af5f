/** Measures what a call of a method with `@Span()` costs, where it records, where tracing is disabled, and where nothing is registered. */
import { startCalls } from './processes.mjs';
import { median, middle, ratio } from './statistics.mjs';

export const scenarios = [
  { id: 'recording', title: 'in a recording request' },
  { id: 'disabled', title: '`enabled: false`' },
  { id: 'nothing', title: 'nothing registered' },
];

/** Resolves to `{ scenario: processes }`, each process a list of ns per call for each kind of method. */
export async function measureCalls({ node, processes, rounds, tell }) {
  const measured = Object.fromEntries(scenarios.map(({ id }) => [id, []]));
  for (let i = 0; i < processes; i++) {
    for (const { id } of scenarios) {
      tell(`calls, ${id}: process ${i + 1} of ${processes}`);
      const child = await startCalls(node, id);
      try {
        measured[id].push((await child.ask('measure', { rounds })).ns);
      } finally {
        await child.stop();
      }
    }
  }
  return measured;
}

/** ns that a call with a span takes longer than one without, and the ratio of `@Span()` to a span by hand. */
export function compareCalls(processes, kind) {
  const added = name => processes.map(ns => ns[`${name}${kind}`].map((value, round) => value - ns[`plain${kind}`][round]));
  const span = added('span');
  const hand = added('hand');
  return {
    plain: median(processes.flatMap(ns => ns[`plain${kind}`])),
    span: middle(span.flat()),
    hand: middle(hand.flat()),
    ratio: ratio(span.map((values, i) => values.map((value, round) => [value, hand[i][round]]))),
  };
}
