/** Finds the Chromium of the system; nothing is downloaded for the specs. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Its path; `undefined` where there is none. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH = '', PATH = '' } = process.env;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  const folders = ['/usr/bin', ...PATH.split(delimiter)];
  return [CHROMIUM_PATH, ...folders.flatMap(folder => names.map(name => join(folder, name)))].find(path => path !== '' && existsSync(path));
}
