/** Turns what was measured into the tables of README.md, with each target beside what came out. */
import { addedCpu } from './requests.mjs';
import { compareCalls, scenarios } from './calls.mjs';
import { compareEncoding, formats } from './encoding.mjs';
import { messageVariants } from './messages.mjs';
import { queryLibraries } from './queries.mjs';
import { median, middle, ratio } from './statistics.mjs';
import { BARE, starts, targets, variants } from './variants.mjs';

const CALL_TARGET = 1.15;
const ENCODING_TARGET = 2;
const START_TARGET_MS = 60;
const QUERY_TARGET = 0.6;

/** Added CPU per request, a table for each route and version of Node: variants below each other, adapters side by side. */
export function requestTable({ node, route, results }) {
  const adapters = Object.keys(results);
  const shown = variants.filter(({ id }) => adapters.some(adapter => id in results[adapter].flat()[0]));
  const added = Object.fromEntries(adapters.map(adapter => [adapter, addedCpu(results[adapter])]));
  const head = ['variant', ...adapters.flatMap(adapter => [`${adapter}, µs`, 'spans', 'p99, ms'])];
  const rows = shown.map(({ id, title }) => [
    `(${id}) ${title}`,
    ...adapters.flatMap(adapter => {
      const rounds = results[adapter].flat();
      if (!(id in rounds[0])) return ['', '', ''];
      const cost =
        id === BARE ? `= ${range(middle(rounds.map(round => round[id].cpuUs)))}` : range(middle(values(added[adapter], id)), '+');
      return [cost, spans(median(rounds.map(round => round[id].spans))), range(middle(rounds.map(round => round[id].p99Ms)), '', 1)];
    }),
  ]);
  return [`#### \`/${route}/:id\` on Node ${node}`, '', table(head, rows), '', ratioTable(route, added)].join('\n');
}

/** The ratio of what two variants add. */
export function ratioOf(added, of, over) {
  return ratio(added.map(rounds => rounds.map(round => [round[of], round[over]])));
}

function ratioTable(route, added) {
  const adapters = Object.keys(added);
  const shown = targets.filter(target => target.route === route && adapters.some(adapter => has(added[adapter], target)));
  const rows = shown.map(({ of, over, factor }) => [
    `(${of}) / (${over})`,
    `≤ ${factor}`,
    ...adapters.map(adapter => {
      if (!has(added[adapter], { of, over })) return '';
      const found = ratioOf(added[adapter], of, over);
      return `${verdict(found.ratio <= factor)} ${range({ ...found, median: found.ratio }, '', 2)}`;
    }),
  ]);
  return shown.length === 0 ? '' : table(['ratio of what is added', 'target', ...adapters], rows);
}

/** Added CPU per message, its answer included. */
export function messageTable({ node, results }) {
  const added = addedCpu(results);
  const rounds = results.flat();
  const rows = messageVariants.map(({ id, title }) => {
    const cost = id === BARE ? `= ${range(middle(rounds.map(round => round[id].cpuUs)))}` : range(middle(values(added, id)), '+');
    const compared = id.startsWith('b') ? ratioOf(added, id, 'c') : undefined;
    const ratioToHand = compared === undefined ? '' : range({ ...compared, median: compared.ratio }, '', 2);
    return [`(${id}) ${title}`, cost, spans(median(rounds.map(round => round[id].spans))), ratioToHand];
  });
  return [`#### A message over TCP on Node ${node}`, '', table(['variant', 'CPU, µs', 'spans', '/ (c)'], rows)].join('\n');
}

/** Requests without sockets. */
export function inProcessTable({ node, results }) {
  const adapters = Object.keys(results);
  const shown = variants.filter(({ id }) => id in results[adapters[0]]);
  const rows = shown.map(({ id, title }) => [
    `(${id}) ${title}`,
    ...adapters.flatMap(adapter => {
      const ns = results[adapter];
      const added = other => ns[other] - ns[BARE];
      if (id === BARE) return [`= ${(ns[id] / 1000).toFixed(2)}`, ''];
      return [`${added(id) < 0 ? '−' : '+'}${Math.abs(added(id) / 1000).toFixed(2)}`, 'c' in ns ? (added(id) / added('c')).toFixed(2) : ''];
    }),
  ]);
  const head = ['variant', ...adapters.flatMap(adapter => [`${adapter}, µs`, '/ (c)'])];
  return [`#### \`/users/:id\` without sockets on Node ${node}`, '', table(head, rows)].join('\n');
}

/** ns per call of a decorated method. */
export function encodingTable({ node, results }) {
  const rows = formats.map(format => {
    const { ours, byOtel, ofSdk, ratio: found } = compareEncoding(results, format);
    const judged = `${verdict(ours.median <= ENCODING_TARGET)} ${range(ours, '', 2)}`;
    return [format, judged, range(byOtel, '', 2), range(ofSdk, '', 2), range({ ...found, median: found.ratio }, '', 2)];
  });
  const head = [
    'format',
    `nestjs-tracing, µs (target ≤ ${ENCODING_TARGET})`,
    "OpenTelemetry's encoder, µs",
    "OpenTelemetry's encoder and spans, µs",
    'ratio to these',
  ];
  return [`#### Encoding a span on Node ${node}`, '', table(head, rows)].join('\n');
}

export function callTable({ node, results }) {
  const rows = scenarios.flatMap(({ id, title }) =>
    ['Sync', 'Async'].map(kind => {
      const { plain, span, hand, ratio: found } = compareCalls(results[id], kind);
      const target = id === 'recording' ? `${verdict(found.ratio <= CALL_TARGET)} ` : '';
      const compared = `${target}${range({ ...found, median: found.ratio }, '', 2)}`;
      return [`${kind.toLowerCase()}, ${title}`, plain.toFixed(0), range(span, '+', 0), range(hand, '+', 0), compared];
    }),
  );
  const head = [
    'method',
    'without span, ns',
    '`@Span()`, ns',
    '`startActiveSpan` by hand, ns',
    `ratio (target ≤ ${CALL_TARGET} where it records)`,
  ];
  return [`#### A call of a traced method on Node ${node}`, '', table(head, rows)].join('\n');
}

/** Added CPU per query, beside that of the official instrumentations. */
export function queryTable({ node, results }) {
  const rows = queryLibraries.map(({ id, title }) => {
    const rounds = results.flat();
    const added = (setUp, round) => round[`${id}-${setUp}`].cpuUs - round[`${id}-none`].cpuUs;
    const cell = setUp =>
      `${range(middle(rounds.map(round => added(setUp, round))), '+')}, ${spans(median(rounds.map(round => round[`${id}-${setUp}`].spans)))}`;
    const found = ratio(results.map(fleet => fleet.map(round => [added('ours', round), added('official', round)])));
    const compared = `${verdict(found.ratio <= QUERY_TARGET)} ${range({ ...found, median: found.ratio }, '', 2)}`;
    return [title, range(middle(rounds.map(round => round[`${id}-none`].cpuUs))), cell('ours'), cell('official'), compared];
  });
  const head = ['library', 'without tracing, µs', 'ours, µs and spans', 'official, µs and spans', `ratio (target ≤ ${QUERY_TARGET})`];
  return [`#### A query to PostgreSQL on Node ${node}`, '', table(head, rows)].join('\n');
}

/** CPU time of starting. */
export function startTable({ node, adapter, results }) {
  const bare = results[BARE];
  const shown = starts.filter(({ id }) => id in results);
  const rows = shown.map(({ id, title }) => {
    const cell = moment => {
      if (id === BARE) return `= ${range(middle(bare.map(start => start[moment])), '', 0)}`;
      const added = middle(results[id].map((start, round) => start[moment] - bare[round][moment]));
      const isPromised = id.startsWith('b') && moment === 'listening';
      return `${isPromised ? `${verdict(added.median <= START_TARGET_MS)} ` : ''}${range(added, '+', 0)}`;
    };
    return [`(${id}) ${title}`, cell('listening'), cell('rested')];
  });
  const head = ['variant', `until it listens, ms (target ≤ +${START_TARGET_MS})`, 'until the first answer and 0.7 s more, ms'];
  return [`#### Starting, ${adapter} on Node ${node}`, '', table(head, rows)].join('\n');
}

function has(fleets, { of, over }) {
  const round = fleets.flat()[0];
  return of in round && over in round;
}

function values(fleets, id) {
  return fleets.flat().map(round => round[id]);
}

/** `+12.3 (11.0…13.9)`. */
function range({ median: value, low, high }, sign = '', digits = 1) {
  const text = number => `${sign !== '' && number >= 0 ? sign : ''}${number.toFixed(digits).replace('-', '−')}`;
  return `${text(value)} (${text(low)}…${text(high)})`;
}

function spans(count) {
  const rounded = Math.round(count);
  return Math.abs(count - rounded) < 0.15 ? String(rounded) : count.toFixed(1);
}

function verdict(isMet) {
  return isMet ? '✓' : '✗';
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n');
}
