/** Medians, spreads and ratios of what was measured in rounds. */

export function median(values) {
  return quantile(values, 0.5);
}

/** The median with the range that holds the middle half. */
export function middle(values) {
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) };
}

/**
 * The ratio of two medians over the same rounds. `groups` are lists of `[numerator, denominator]`, one list per start of the processes;
 * the interval holds 90 % of what comes out when groups and their rounds are drawn again at random.
 */
export function ratio(groups) {
  const random = randomNumbers(1);
  const drawn = Array.from({ length: 1000 }, () => ratioOfMedians(draw(groups, random).flatMap(rounds => draw(rounds, random))));
  return { ratio: ratioOfMedians(groups.flat()), low: quantile(drawn, 0.05), high: quantile(drawn, 0.95) };
}

function ratioOfMedians(rounds) {
  return median(rounds.map(([numerator]) => numerator)) / median(rounds.map(([, denominator]) => denominator));
}

function draw(list, random) {
  return list.map(() => list[Math.floor(random() * list.length)]);
}

function quantile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  const position = (sorted.length - 1) * share;
  const below = Math.floor(position);
  const next = sorted[below + 1] ?? sorted[below];
  return sorted[below] + (next - sorted[below]) * (position - below);
}

/** The same numbers in every run, so that a report can be made again from what was measured. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
