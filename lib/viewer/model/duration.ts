/** Formats durations with three significant digits and a fitting unit. */

/** Formats whole nanoseconds as `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`, `2 min 5 s` or `1 h 3 min`. @internal */
export function formatDuration(ns: number): string {
  if (ns < 1000) return `${ns} ns`;
  for (const [unit, size] of UNITS) {
    const text = threeDigits(ns / size);
    // 999.9 µs rounds to 1000 µs, which is shown as 1.00 ms.
    if (text !== '1000') return `${text} ${unit}`;
  }
  const seconds = Math.round(ns / 1e9);
  if (seconds < 60) return `${threeDigits(ns / 1e9)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Formats a difference of durations with its sign. @internal */
export function formatDifference(ns: number): string {
  return ns === 0 ? '±0' : `${ns > 0 ? '+' : '−'}${formatDuration(Math.abs(ns))}`;
}

const UNITS = [
  ['µs', 1e3],
  ['ms', 1e6],
] as const;

/** Returns `1000` for any value that rounds to a thousand or more. */
function threeDigits(value: number): string {
  if (value < 9.995) return value.toFixed(2);
  if (value < 99.95) return value.toFixed(1);
  return value < 999.5 ? value.toFixed(0) : '1000';
}
