/** Gives each service one colour in all views: its hue. The style sheet sets the lightness for the light and the dark theme. */

/** No hue is near red, because red is the colour of failures. Hues next to each other in this list differ much. */
const HUES = [264, 168, 305, 75, 215, 340, 130, 235, 100, 285, 190, 55];

const taken = new Map<string, number>();

/** Derives the hue from the name of the service, so that it rarely changes. If another service has that hue, the next free one is used. */
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

/** Returns the style with the CSS property `--hue`, from which the style sheet makes colours. */
export function hueStyle(service: string): Record<string, string> {
  return { '--hue': String(hueOf(service)) };
}
