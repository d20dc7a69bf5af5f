/** Learns from finished local roots how long a route usually takes, and tells which one belongs to the slowest hundredth of its route. */

/** Durations are counted in classes, of which each is 9 % wider than the one before: from 0.1 ms to 30 hours in 240 classes. */
const CLASSES = 240;
const SHORTEST_MS = 0.1;
const GROWTH = 2 ** (1 / 8);
const LOG_GROWTH = Math.log(GROWTH);

/** Before so many local roots have finished, none is slow. */
const WARM_UP = 100;
/** Then the counts are halved, so that old ones lose their weight. */
const MAX_COUNT = 2000;
/** The limit is computed anew after so many local roots. */
const RENEWAL = 20;
const QUANTILE = 0.99;

/** Routes with counts of their own. All others share one. */
const MAX_ROUTES = 500;

/** @internal */
export class SlowRequests {
  private readonly routes = new Map<string, Durations>();
  private readonly others = new Durations();

  /** Counts a duration. Returns true if it is slower than 99 % of those of the same route before it. */
  isSlow(route: string, durationMs: number): boolean {
    const durations = this.of(route);
    const isSlow = durationMs > durations.limit;
    durations.add(durationMs);
    return isSlow;
  }

  /** Returns true if a local root that still runs is already that slow. Counts nothing. */
  isSlowAlready(route: string, elapsedMs: number): boolean {
    return elapsedMs > (this.routes.get(route) ?? this.others).limit;
  }

  private of(route: string): Durations {
    let durations = this.routes.get(route);
    if (durations === undefined) {
      if (this.routes.size >= MAX_ROUTES) return this.others;
      this.routes.set(route, (durations = new Durations()));
    }
    return durations;
  }
}

class Durations {
  /** In milliseconds. */
  limit = Infinity;
  private readonly counts = new Uint16Array(CLASSES);
  private total = 0;
  private sinceRenewal = 0;

  add(durationMs: number): void {
    const index = classOf(durationMs);
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.total += 1;
    this.sinceRenewal += 1;
    if (this.total < WARM_UP || this.sinceRenewal < RENEWAL) return;
    this.sinceRenewal = 0;
    this.limit = this.quantile();
    if (this.total >= MAX_COUNT) this.halve();
  }

  /** Returns the upper end of the class in which the quantile lies. */
  private quantile(): number {
    let above = this.total * (1 - QUANTILE);
    for (let index = CLASSES - 1; index >= 0; index--) {
      above -= this.counts[index] ?? 0;
      if (above < 0) return SHORTEST_MS * GROWTH ** (index + 1);
    }
    return Infinity;
  }

  private halve(): void {
    this.total = 0;
    for (let index = 0; index < CLASSES; index++) {
      const half = (this.counts[index] ?? 0) >> 1;
      this.counts[index] = half;
      this.total += half;
    }
  }
}

function classOf(durationMs: number): number {
  if (!(durationMs > SHORTEST_MS)) return 0;
  return Math.min(CLASSES - 1, Math.floor(Math.log(durationMs / SHORTEST_MS) / LOG_GROWTH));
}
