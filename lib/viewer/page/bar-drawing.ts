/** How the bar of a row is painted: light for all of its time, full where it is on the critical path, ticks for events. */
import type { CriticalPath } from '../model/critical-path.js';
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
  const critical = new Strip();
  const busy = new Strip();
  for (const one of spans) {
    if (members) busy.add(((offsetNs[one] ?? 0) - fromNs) * scale, ((offsetNs[one] ?? 0) + (durationNs[one] ?? 0) - fromNs) * scale);
    for (let place = path.first[one] ?? 0; place < (path.first[one + 1] ?? 0); place += 1) {
      critical.add(((path.fromNs[place] ?? 0) - fromNs) * scale, ((path.toNs[place] ?? 0) - fromNs) * scale);
    }
  }
  const layers = [critical.layer('var(--full)'), members ? busy.layer('var(--light)') : ''].filter(layer => layer !== '');
  const isPoint = toNs === fromNs && critical.isEmpty;
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
  return layers.length > 0 ? { background: layers.join(',') } : {};
}

export function percent(part: number): string {
  return `${Math.round(part * 1e5) / 1e3}%`;
}

/** Which steps of a bar are painted. */
class Strip {
  private readonly steps = new Uint8Array(STEPS);
  isEmpty = true;

  add(from: number, to: number): void {
    if (to < 0 || from > STEPS) return;
    const start = Math.max(0, Math.min(Math.round(from), STEPS - 1));
    this.steps.fill(1, start, Math.max(start + 1, Math.round(to)));
    this.isEmpty = false;
  }

  /** A picture for CSS. */
  layer(colour: string): string {
    const stops: string[] = [];
    let start = 0;
    for (let step = 1; step <= STEPS; step += 1) {
      if (step < STEPS && this.steps[step] === this.steps[start]) continue;
      stops.push(`${this.steps[start] === 1 ? colour : 'transparent'} ${start / (STEPS / 100)}% ${step / (STEPS / 100)}%`);
      start = step;
    }
    return this.isEmpty ? '' : `linear-gradient(90deg,${stops.join(',')})`;
  }
}
