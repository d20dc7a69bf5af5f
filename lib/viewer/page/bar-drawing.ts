/** Computes the style of a bar in the waterfall: light for the whole time, full on the critical path, with ticks for events. */
import type { CriticalPath, Segment } from '../model/critical-path.js';
import type { SpanForest } from '../model/span-forest.js';
import type { WaterfallRow } from '../model/visible-rows.js';

/** The part of the trace's time that is shown, in nanoseconds. */
export interface TimeWindow {
  readonly fromNs: number;
  readonly toNs: number;
}

type Style = Record<string, string>;

/** Bars and ticks are drawn in steps of 1/400 of their width, so that they need few colour stops. */
const STEPS = 400;
const MAX_TICKS = 24;

/** Returns `undefined` if the bar is outside the window. */
export function barStyle(forest: SpanForest, path: CriticalPath, { span, members }: WaterfallRow, shown: TimeWindow): Style | undefined {
  const { offsetNs, durationNs } = forest;
  const width = shown.toNs - shown.fromNs;
  const spans = members ?? [span];
  let fromNs = Infinity;
  let toNs = -Infinity;
  for (const index of spans) {
    const start = offsetNs[index] ?? 0;
    fromNs = Math.min(fromNs, start);
    toNs = Math.max(toNs, start + (durationNs[index] ?? 0));
  }
  // A bar that is cut reaches a little beyond the edge, so that it does not seem to end there.
  fromNs = Math.max(fromNs, shown.fromNs - width / 50);
  toNs = Math.min(toNs, shown.toNs + width / 50);
  if (toNs < fromNs || toNs < shown.fromNs || fromNs > shown.toNs) return undefined;
  const scale = STEPS / Math.max(1, toNs - fromNs);
  const critical: Segment[] = [];
  const busy: Segment[] = [];
  const add = (to: Segment[], start: number, end: number) => void to.push([(start - fromNs) * scale, (end - fromNs) * scale]);
  for (const index of spans) {
    const start = offsetNs[index] ?? 0;
    if (members) add(busy, start, start + (durationNs[index] ?? 0));
    for (const [from, to] of path[index] ?? []) add(critical, from, to);
  }
  const layers = [gradient(critical, 'var(--full)'), gradient(busy, 'var(--light)')].filter(Boolean);
  const isPoint = toNs === fromNs && critical.length === 0;
  return {
    left: percent((fromNs - shown.fromNs) / width),
    width: percent((toNs - fromNs) / width),
    backgroundImage: isPoint ? '' : layers.join(','),
    ...(members && { backgroundColor: 'transparent' }),
  };
}

/** Returns the style of the ticks for the events of a row; an empty one if it has no events. */
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

/** Returns a CSS gradient with `colour` in the segments, which are in steps. Each is at least a step wide. Returns `''` if none is visible. */
function gradient(segments: Segment[], colour: string): string {
  const stops: string[] = [];
  let painted = 0;
  for (const [from, to] of segments.sort(([a], [b]) => a - b)) {
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
