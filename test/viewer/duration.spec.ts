/** How long something took, as a developer reads it. */
import { formatDuration } from '../../lib/viewer/model/duration.js';

describe('A duration', () => {
  it.each([
    [0, '0 ns'],
    [999, '999 ns'],
    [1000, '1.00 µs'],
    [12_345, '12.3 µs'],
    [999_499, '999 µs'],
    [999_500, '1.00 ms'],
    [9_995_000, '10.0 ms'],
    [45_200_000, '45.2 ms'],
    [999_600_000, '1.00 s'],
    [12_340_000_000, '12.3 s'],
    [59_600_000_000, '1 min 0 s'],
    [125_000_000_000, '2 min 5 s'],
    [3_780_000_000_000, '1 h 3 min'],
  ])('of %d ns reads as three digits and the unit that fits: %s', (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });
});
