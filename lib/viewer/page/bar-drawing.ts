/** How the bar of a row is painted: light for all of its time, full where it is on the critical path, ticks for events. */
import type { CriticalPath, Stretch } from '../model/critical-path.js';
import type { SpanForest } from '../model/span-forest.js';
import type { WaterfallRow } from '../model/visible-rows.js';

/** What of the trace's time is shown, in nanoseconds. */
export interface TimeWindow {
  readonly fromNs: number;
  readonly toNs: number;
}

type Style = Record<string, string>;

/** Nothing narrower is told apart: a quarter of a percent of the window. */
const STEPS = 400;
const MAX_TICKS = 24;

/** `undefined` where all of it is out of sight. */
export function barStyle(forest: SpanForest, path: CriticalPath, { span, members }: WaterfallRow, shown: TimeWindow): Style | undefined {
  const { offsetNs, durationNs } = forest;
  const width = shown.toNs - shown.fromNs;
  const spans = members ?? [span];
  let fromNs = Infinity;
  let toNs = -Infinity;
  for (const one of spans) {
    const start = offsetNs[one] ?? 0;
    fromNs = Math.min(fromNs, start);
    toNs = Math.max(toNs, start + (durationNs[one] ?? 0));
  }
  // A little beyond the edge, so that a cut bar does not look like one that ends there.
  fromNs = Math.max(fromNs, shown.fromNs - width / 50);
  toNs = Math.min(toNs, shown.toNs + width / 50);
  if (toNs < fromNs || toNs < shown.fromNs || fromNs > shown.toNs) return undefined;
  const scale = STEPS / Math.max(1, toNs - fromNs);
  const critical: Stretch[] = [];
  const busy: Stretch[] = [];
  const add = (to: Stretch[], start: number, end: number) => void to.push([(start - fromNs) * scale, (end - fromNs) * scale]);
  for (const one of spans) {
    const start = offsetNs[one] ?? 0;
    if (members) add(busy, start, start + (durationNs[one] ?? 0));
    for (const [from, to] of path[one] ?? []) add(critical, from, to);
  }
  const layers = [layer(critical, 'var(--full)'), layer(busy, 'var(--light)')].filter(Boolean);
  const isPoint = toNs === fromNs && critical.length === 0;
  return {
    left: percent((fromNs - shown.fromNs) / width),
    width: percent((toNs - fromNs) / width),
    backgroundImage: isPoint ? '' : layers.join(','),
    ...(members && { backgroundColor: 'transparent' }),
  };
}

/** Marks of the events of a row; empty without. */
export function tickStyle(forest: SpanForest, { span, members, isMissing }: WaterfallRow, shown: TimeWindow): Style {
  const events = isMissing ? undefined : forest.events[span];
  if (!events || members) return {};
  const width = shown.toNs - shown.fromNs;
  const ticks = new Map<number, string>();
  for (const event of events) {
    const isException = event < 0;
    const at = Math.round((((isException ? -event - 1 : event) - shown.fromNs) / width) * STEPS);
    if (at < 0 || at > STEPS || (ticks.size >= MAX_TICKS && !ticks.has(at))) continue;
    if (isException || !ticks.has(at)) ticks.set(at, isException ? 'var(--error)' : 'var(--tick)');
  }
  const layers = [...ticks].map(([at, colour]) => `linear-gradient(${colour},${colour}) ${at / (STEPS / 100)}% 50%/2px 20px no-repeat`);
  return layers.length > 0 ? { background: [...layers, 'var(--lines)'].join(',') } : {};
}

export function percent(part: number): string {
  return `${Math.round(part * 1e5) / 1e3}%`;
}

/** A picture for CSS: `colour` along the stretches, which are in steps of the bar, each of them at least a step; empty without any in sight. */
function layer(stretches: Stretch[], colour: string): string {
  const stops: string[] = [];
  let painted = 0;
  for (const [from, to] of stretches.sort(([a], [b]) => a - b)) {
    if (to < 0 || from > STEPS) continue;
    const first = Math.max(0, Math.min(Math.round(from), STEPS - 1));
    const end = Math.min(STEPS, Math.max(first + 1, Math.round(to)));
    if (end <= painted) continue;
    const start = percentOf(Math.max(painted, first));
    stops.push(`transparent ${percentOf(painted)} ${start},${colour} ${start} ${percentOf(end)}`);
    painted = end;
  }
  return stops.length === 0 ? '' : `linear-gradient(90deg,${stops.join(',')},transparent ${percentOf(painted)})`;
}

function percentOf(step: number): string {
  return percent(step / STEPS);
}
