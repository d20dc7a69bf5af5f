/** Defines the options that say which finished traces leave the process, and in which form. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Definitions, flag, headerName, numberBetween, objectOf, option, refuse, type Values, wholeNumberBetween } from './checks.js';
import { messages } from './messages.js';
import type { FoldOptions, KeepHeader, KeepOptions } from './retention-options.js';

const milliseconds = numberBetween(0, 2 ** 31 - 1);

/** @internal */
export const KEEP = {
  errors: option(flag, true),
  slowerThanMs: option(slowness, 1000),
  ratio: option(numberBetween(0, 1), 0.05),
  maxSpans: option(wholeNumberBetween(1, 10_000_000), 20_000),
  maxMemoryMb: option(numberBetween(1, 4096), 32),
  maxWaitMs: option(numberBetween(1, 2 ** 31 - 1), 60_000),
} satisfies Definitions<KeepOptions>;

/** @internal */
export const FOLD = {
  over: option(wholeNumberBetween(1, 1_000_000), 20),
  keepSlowest: option(wholeNumberBetween(0, 1000), 3),
} satisfies Definitions<FoldOptions>;

/** {@link KeepOptions} with every default filled in. @internal */
export type ResolvedKeepOptions = Values<typeof KEEP>;

/** {@link FoldOptions} with every default filled in. @internal */
export type ResolvedFoldOptions = Values<typeof FOLD>;

type Slowness = NonNullable<KeepOptions['slowerThanMs']>;

function slowness(path: string, value: Slowness): Slowness {
  if (value === 'p99' || typeof value === 'function') return value;
  return typeof value === 'number' ? milliseconds(path, value) : refuse(path, value, "milliseconds, 'p99' or a function of the route");
}

/** Accepts the number of spans of a local root, or `false`. Returns undefined for `false`. @internal */
export function budget(path: string, value: number | false): number | undefined {
  return value === false ? undefined : wholeNumberBetween(1, 1_000_000)(path, value);
}

/** {@link KeepHeader} as requests are compared with it. @internal */
export interface ResolvedKeepHeader {
  /** In lower case. */
  readonly name: string;
  /** Returns true if the value of a header is the secret. It takes equally long for each wrong value. */
  matches(value: unknown): boolean;
}

const MIN_SECRET = 16;
/** What arrives as it was sent: no line break out of a file, no space at an end, nothing that has two encodings. */
const AS_HEADER = /^[!-~]([ -~]*[!-~])?$/;

/** @internal */
export function keepHeader(path: string, value: KeepHeader): ResolvedKeepHeader {
  const { name, secret } = objectOf(path, value, ['name', 'secret']);
  // The message must not contain the secret.
  const isUsable = typeof secret === 'string' && secret.length >= MIN_SECRET && AS_HEADER.test(secret);
  if (!isUsable) throw new Error(messages.secretUnusable(`${path}.secret`, MIN_SECRET));
  const digest = digestOf(secret);
  return {
    name: headerName(`${path}.name`, name as string),
    matches: given => typeof given === 'string' && timingSafeEqual(digestOf(given), digest),
  };
}

/** Digests are of equal length, as the comparison demands. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
