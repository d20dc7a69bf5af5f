/** Each option that users can set has a definition, and what its comment says of its default is true. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { pathsOf } from '../../lib/options/checks.js';
import { OPTIONS, resolveOptions } from '../../lib/options/resolved-options.js';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { chooseSampler } from '../../lib/sdk/sampler.js';

interface Documented {
  readonly path: string;
  /** What stands behind `@default`; groups have none. */
  readonly fallback: string | undefined;
}

const sources = readdirSync('lib/options')
  .filter(file => file.endsWith('-options.ts'))
  .map(file => ts.createSourceFile(file, readFileSync(`lib/options/${file}`, 'utf8'), ts.ScriptTarget.Latest, true));
const interfaces = new Map(
  sources.flatMap(source => source.statements.filter(ts.isInterfaceDeclaration)).map(declared => [declared.name.text, declared]),
);

/** The options of an interface, and of the interfaces of options that they have as type. */
function optionsOf(name: string, prefix = ''): Documented[] {
  const members = interfaces.get(name)!.members.filter(ts.isPropertySignature);
  return members.flatMap(member => {
    const path = prefix + member.name.getText();
    const inner = /\w+Options\b/.exec(member.type?.getText() ?? '')?.[0];
    const [tag] = ts.getJSDocTags(member).filter(({ tagName }) => tagName.text === 'default');
    const fallback = ts.getTextOfJSDocComment(tag?.comment)?.trim();
    return [{ path, fallback }, ...(inner !== undefined && interfaces.has(inner) ? optionsOf(inner, `${path}.`) : [])];
  });
}

const documented = optionsOf('TracingOptions');
const isCode = (text: string | undefined): text is string => text !== undefined && /^(true|false|[\d.]+|'.*'|\[.*\]|\{.*\})$/.test(text);
const inCode = documented.flatMap(({ path, fallback }) =>
  isCode(fallback) ? [{ path, value: JSON.parse(fallback.replaceAll("'", '"')) }] : [],
);
const inWords = documented.flatMap(({ path, fallback }) => (fallback === undefined || isCode(fallback) ? [] : [{ path, fallback }]));

/** The options of a user who sets one alone. */
function only(path: string, value: unknown): TracingOptions {
  return path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as TracingOptions;
}

/** What follows from options, without the notes on which of them code set. */
function resultOf(options: TracingOptions) {
  const { propagatorsInCode: _propagators, pipelineOptionsInCode: _names, ...resolved } = resolveOptions(options, {});
  return resolved;
}

describe('the definitions of options', () => {
  it('are those of the options that are documented', () => {
    expect([...pathsOf(OPTIONS)].sort()).toEqual(documented.map(({ path }) => path).sort());
    expect(documented.length).toBeGreaterThan(45);
  });

  it.each(inCode.filter(({ path }) => path !== 'sampler'))(
    'have the documented default: $path set to $value is $path unset',
    ({ path, value }) => {
      // An object of options switches its group on.
      const group = path.split('.').slice(0, -1).join('.');
      expect(resultOf(only(path, value))).toEqual(resultOf(group === '' ? {} : only(group, {})));
    },
  );

  it('leave the sampler to the environment, which records the documented share', () => {
    const share = inCode.find(({ path }) => path === 'sampler')?.value as number;
    const [documented, inForce] = [chooseSampler(share, {}), chooseSampler(resolveOptions({}, {}).sampler, {})];
    expect(share).toBe(1);
    expect(String(inForce.sampler)).toBe(String(documented.sampler));
  });

  it('have no default where words say what happens', () => {
    const resolved = Object.fromEntries(inWords.map(({ path, fallback }) => [path, fallback]));
    expect(resolved).toMatchObject({ 'outbound.redactQueryKeys': 'as `inbound.redactQueryKeys`' });
    const { inbound, outbound } = resolveOptions({}, {});
    expect(outbound.redactQueryKeys).toEqual(inbound.redactQueryKeys);
    const others = inWords.map(({ path }) => path).filter(path => path !== 'outbound.redactQueryKeys');
    const values = others.map(path =>
      path.split('.').reduce<unknown>((value, name) => Reflect.get(Object(value), name), resolveOptions({}, {})),
    );
    expect(values.filter(value => value !== undefined)).toEqual([]);
    expect(others.length).toBeGreaterThan(5);
  });
});
