/** Reads OpenTelemetry's environment variables: empty is unset, a bad value is said once and replaced by the default. */
import { reportTrouble } from './local/trouble.js';
import { messages } from './tracing.messages.js';

type Environment = NodeJS.ProcessEnv;

/** The trimmed value, `undefined` where it is unset or blank. @internal */
export function readText(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/** Only `true`, in any case, is true. @internal */
export function readFlag(env: Environment, name: string): boolean {
  const value = readText(env, name)?.toLowerCase();
  if (value !== undefined && value !== 'true' && value !== 'false') complain(name, value, '"true" or "false"', '"false"');
  return value === 'true';
}

/** The number, or `fallback` where there is none or it fails `isValid`. @internal */
export function readNumber<Fallback extends number | undefined>(
  env: Environment,
  name: string,
  fallback: Fallback,
  expected: string,
  isValid: (value: number) => boolean,
): number | Fallback {
  const text = readText(env, name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isNaN(value) && isValid(value)) return value;
  complain(name, text, expected, fallback === undefined ? 'the default' : `"${fallback}"`);
  return fallback;
}

/** The one of `known` that is named, in any case; `fallback` where none is or it is unknown. @internal */
export function readName<Name extends string, Fallback extends string | undefined>(
  env: Environment,
  name: string,
  known: readonly Name[],
  fallback: Fallback,
): Name | Fallback {
  const text = readText(env, name);
  if (text === undefined) return fallback;
  const found = known.find(candidate => candidate === text.toLowerCase());
  if (found !== undefined) return found;
  complain(name, text, `one of ${known.join(', ')}`, fallback === undefined ? 'the default' : `"${fallback}"`);
  return fallback;
}

/** The items of a comma-separated list, each once; `undefined` where it is unset or has none. @internal */
export function readList(env: Environment, name: string): readonly string[] | undefined {
  const items = readText(env, name)
    ?.split(',')
    .map(item => item.trim())
    .filter(item => item !== '');
  return items === undefined || items.length === 0 ? undefined : [...new Set(items)];
}

/**
 * As {@link readList}, of `known` names only; `none` next to others wins. `undefined` where no known name is left. Of names that used to
 * be known, `former` says what has taken their place.
 * @internal
 */
export function readNames<Name extends string>(
  env: Environment,
  name: string,
  known: readonly Name[],
  former: Readonly<Record<string, string>> = {},
): readonly Name[] | undefined {
  const names: Name[] = [];
  for (const item of readList(env, name) ?? []) {
    const found = known.find(candidate => candidate === item.toLowerCase());
    const hint = former[item.toLowerCase()];
    const expected = `names out of ${known.join(', ')}`;
    if (found === undefined) complain(name, item, hint === undefined ? expected : `${expected}. ${hint}`, 'the others');
    else if (!names.includes(found)) names.push(found);
  }
  const none = names.find(candidate => candidate === 'none');
  if (none !== undefined && names.length > 1) {
    complain(name, names.join(','), '"none" alone', '"none"');
    return [none];
  }
  return names.length === 0 ? undefined : names;
}

/** Says once what is wrong with an environment variable and what is used instead. @internal */
export function complain(name: string, value: string, expected: string, used: string): void {
  reportTrouble(`environment:${name}=${value}`, messages.invalidEnvironment(name, value, expected, used));
}
