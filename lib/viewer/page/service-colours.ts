/** One colour per service, the same on every view. Lightness comes from the style sheet, so that it reads on dark and on light. */

/** None near red, which means failure; neighbours in the list are far apart. */
const HUES = [264, 168, 305, 75, 215, 340, 130, 235, 100, 285, 190, 55];

const taken = new Map<string, number>();

/** By its name, so that it is mostly the same tomorrow; where that hue is taken, the next free one. */
export function hueOf(service: string): number {
  const known = taken.get(service);
  if (known !== undefined) return known;
  let hash = 7;
  for (let index = 0; index < Math.min(service.length, 100); index += 1) hash = (hash * 31 + service.charCodeAt(index)) >>> 0;
  const used = new Set(taken.values());
  const start = hash % HUES.length;
  const order = HUES.map((_, step) => HUES[(start + step) % HUES.length] ?? 0);
  const hue = order.find(candidate => !used.has(candidate)) ?? order[0] ?? 0;
  taken.set(service, hue);
  return hue;
}

/** Custom property that the style sheet makes a colour of. */
export function tint(service: string): Record<string, string> {
  return { '--hue': String(hueOf(service)) };
}
