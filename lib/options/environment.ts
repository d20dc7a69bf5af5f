/**
 * Reads OpenTelemetry's environment variables. An empty variable counts as unset. An invalid value is logged once and the default is used.
 */
import { didYouMean, messages } from './messages.js';
import { reportTrouble } from './trouble.js';

type Environment = NodeJS.ProcessEnv;

/** Returns the trimmed value. Returns undefined if it is unset or blank. @internal */
export function readText(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/** Decodes percent-encoding. Returns `value` unchanged if its encoding is invalid. @internal */
export function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** True if the value is `true`, in upper or lower case. @internal */
export function readFlag(env: Environment, name: string): boolean {
  const value = readText(env, name)?.toLowerCase();
  if (value !== undefined && value !== 'true' && value !== 'false') complain(name, value, '"true" or "false"', '"false"');
  return value === 'true';
}

/** Returns the number, or `fallback` if the variable is unset or invalid. @internal */
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

/** Returns the name of `known`, compared without case, or `fallback` if the variable is unset or unknown. @internal */
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
  const used = fallback === undefined ? 'the default' : `"${fallback}"`;
  complain(name, text, `one of ${known.join(', ')}`, used, didYouMean(text, known));
  return fallback;
}

/** Returns the items of a comma-separated list without duplicates. Returns undefined if there are none. @internal */
export function readList(env: Environment, name: string): readonly string[] | undefined {
  const items = readText(env, name)
    ?.split(',')
    .map(item => item.trim())
    .filter(item => item !== '');
  return items === undefined || items.length === 0 ? undefined : [...new Set(items)];
}

/**
 * Reads a list of `known` names. If it contains `none`, the other names are ignored. Returns undefined if no known name is left. `fallback`
 * is the text for the log that says what is used then. `hints` says what to write instead of names that other libraries know. @internal
 */
export function readNames<Name extends string>(
  env: Environment,
  name: string,
  known: readonly Name[],
  fallback: string,
  hints: Readonly<Record<string, string>> = {},
): readonly Name[] | undefined {
  const names: Name[] = [];
  const unknown: string[] = [];
  for (const item of readList(env, name) ?? []) {
    const found = known.find(candidate => candidate === item.toLowerCase());
    if (found === undefined) unknown.push(item);
    else if (!names.includes(found)) names.push(found);
  }
  const used = names.length === 0 ? fallback : `"${names.join(',')}"`;
  for (const item of unknown) {
    const hint = hints[item.toLowerCase()];
    complain(name, item, `one or more of ${known.join(', ')}`, used, hint === undefined ? didYouMean(item, known) : ` ${hint}.`);
  }
  const none = names.find(candidate => candidate === 'none');
  if (none !== undefined && names.length > 1) {
    complain(name, names.join(','), '"none" alone', '"none"');
    return [none];
  }
  return names.length === 0 ? undefined : names;
}

/** Throws for an invalid environment variable that has no useful default. @internal */
export function refuseVariable(name: string, value: string, expected: string): never {
  throw new Error(messages.refusedEnvironment(name, value, expected));
}

/** Logs once why an environment variable is invalid and what is used instead. @internal */
export function complain(name: string, value: string, expected: string, used: string, hint = ''): void {
  reportTrouble(`environment:${name}=${value}`, messages.invalidEnvironment(name, value, expected, used, hint));
}
