/** Options in README and docs/options.md are those of the doc comments, and doc comments name the defaults that are in force. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolveOptions } from '../../lib/options/resolved-options.js';

/** The defaults that the page writes as code, by the path of the option. */
function documentedDefaults(): [path: string, value: unknown][] {
  const sections = readFileSync('docs/options.md', 'utf8').split(/^### /m).slice(1);
  return sections.flatMap(section => {
    const path = /^`([\w.]+)`/.exec(section)?.[1];
    const code = /^- Default: `([^`]*)`$/m.exec(section)?.[1];
    return path === undefined || code === undefined ? [] : [[path, JSON.parse(code.replaceAll("'", '"'))]];
  });
}

function valueAt(path: string, value: unknown): unknown {
  return path.split('.').reduce<unknown>((parent, name) => (parent as Record<string, unknown> | undefined)?.[name], value);
}

describe('the documented options', () => {
  it('are those of the doc comments', () => {
    execFileSync(process.execPath, ['.ci/options-page.js', '--check'], { encoding: 'utf8', stdio: 'pipe' });
  });

  it('have the defaults that are in force', () => {
    const resolved = resolveOptions({}, {});
    // What is undefined is resolved elsewhere: by the environment, or when it is asked for.
    const compared = documentedDefaults().filter(([path]) => valueAt(path, resolved) !== undefined);
    expect(compared.length).toBeGreaterThan(20);
    const isInForce = (value: unknown, inForce: unknown) =>
      // A group of options that is on is resolved to its options.
      value === true && typeof inForce === 'object' ? true : JSON.stringify(value) === JSON.stringify(inForce);
    expect(compared.filter(([path, value]) => !isInForce(value, valueAt(path, resolved)))).toEqual([]);
  });
});
