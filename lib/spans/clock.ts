/** The clock of spans. */
import type { HrTime } from '@opentelemetry/api';

/** Milliseconds between 1970 and the zero of `performance.now()`. */
let offset = performance.timeOrigin;

/**
 * Returns a time in milliseconds since 1970. Unlike `Date.now()`, it has fractions, so spans of less than a millisecond do not overlap or
 * leave gaps. It follows the wall clock, also when that is set or the machine has slept. `steadyMs`: the moment, by `performance.now()`;
 * now, if it is not given. @internal
 */
export function wallTime(steadyMs = performance.now()): number {
  const wallMs = Date.now();
  const time = offset + steadyMs;
  if (time >= wallMs && time < wallMs + 1) return time;
  correct();
  return offset + steadyMs;
}

/**
 * Returns `ms`, in milliseconds since 1970, as the start of a span: in whole microseconds. OpenTelemetry's exporter for Zipkin sends smaller
 * parts, and Zipkin refuses them. @internal
 */
export function startTimeAt(ms: number): HrTime {
  const seconds = Math.trunc(ms / 1000);
  const micros = Math.round((ms - seconds * 1000) * 1000);
  return micros < 1e6 ? [seconds, micros * 1000] : [seconds + 1, 0];
}

/** Reads both clocks again: the process may have been interrupted between their reading. */
function correct(): void {
  const steadyMs = performance.now();
  const earliest = Date.now() - steadyMs;
  const latest = earliest + 0.999;
  // A test may have set the clock to anything, even to no number.
  if (!(offset >= earliest)) offset = earliest;
  else if (offset > latest) offset = latest;
}
