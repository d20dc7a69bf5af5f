/** The language of the filter field: parses a filter, and checks which spans and traces match it. */
import type { AttributeValue } from '@opentelemetry/api';
import { answer } from '../../conventions/reading.js';
import type { TraceSpan } from './trace-span.js';

/** The most characters of a filter. The rest is ignored. @internal */
export const MAX_FILTER_LENGTH = 500;
const MAX_TERMS = 20;

/** A parsed filter. Without terms it matches everything. @internal */
export interface Filter {
  readonly terms: readonly Term[];
}

type Term = Condition & { readonly isNegated: boolean };
type Condition =
  | { readonly about: 'text'; readonly text: string }
  | { readonly about: 'attribute'; readonly key: string; readonly value: Pattern }
  | { readonly about: 'service'; readonly name: Pattern }
  | { readonly about: 'status'; readonly code: RegExp }
  | { readonly about: 'error' }
  | { readonly about: 'duration'; readonly isLonger: boolean; readonly ns: number };

/** An exact text, or a prefix if it was written with `*` at its end. */
interface Pattern {
  readonly text: string;
  readonly isPrefix: boolean;
}

/**
 * Parses a filter: terms that are separated by spaces. The terms are `key=value` for an attribute of the span or its resource, `service:x`,
 * `status:500` or `status:5xx`, `error`, `>50ms` and `<1s`. Any other term is text that is searched in names, ids, services, attribute
 * values, events and error messages; upper and lower case are equal. Text in quotes may contain spaces and is never a special term. A `-` in
 * front negates a term. Only the first 20 terms within the first 500 characters count, because each is compared with every stored span.
 * @internal
 */
export function parseFilter(line: string): Filter {
  const terms: Term[] = [];
  for (const [word] of line.slice(0, MAX_FILTER_LENGTH).matchAll(WORD)) {
    if (terms.length === MAX_TERMS) break;
    const isNegated = word.length > 1 && word.startsWith('-');
    const condition = conditionOf(isNegated ? word.slice(1) : word);
    if (condition !== undefined) terms.push({ ...condition, isNegated });
  }
  return { terms };
}

/** Whether `span` matches every term. A duration is compared with the duration of the span. @internal */
export function matchesSpan(filter: Filter, span: TraceSpan): boolean {
  return filter.terms.every(term => holdsForSpan(term, span) !== term.isNegated);
}

/** Whether each term matches some of `spans`, and each negated term none. A duration is compared with `durationNs`. @internal */
export function matchesTrace(filter: Filter, spans: Iterable<TraceSpan>, durationNs: number): boolean {
  const open = new Set<Term>();
  for (const term of filter.terms) {
    if (term.about !== 'duration') open.add(term);
    else if (isWithin(term, durationNs) === term.isNegated) return false;
  }
  if (open.size === 0) return true;
  let wanted = [...open].filter(term => !term.isNegated).length;
  for (const span of spans) {
    for (const term of open) {
      if (!holdsForSpan(term, span)) continue;
      if (term.isNegated) return false;
      open.delete(term);
      wanted--;
    }
    if (open.size === 0) return true;
  }
  return wanted === 0;
}

const WORD = /(?:"[^"]*(?:"|$)|[^\s"])+/g;
const DURATION = /^([<>])=?(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m)?$/i;
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9 };

/** Returns `undefined` for a term without content: `service:` without a name, or empty quotes. */
function conditionOf(word: string): Condition | undefined {
  const plain = unquoted(word);
  if (plain === '') return undefined;
  if (word.startsWith('"')) return { about: 'text', text: plain.toLowerCase() };
  if (word === 'error') return { about: 'error' };
  const [, sign, amount, unit = 'ms'] = DURATION.exec(word) ?? [];
  if (amount !== undefined) return { about: 'duration', isLonger: sign === '>', ns: Number(amount) * (UNITS[unit.toLowerCase()] ?? 1e6) };
  const [, name, rest = ''] = /^(service|status):(.*)$/s.exec(word) ?? [];
  if (name !== undefined && rest === '') return undefined;
  if (name === 'service') return { about: 'service', name: pattern(rest) };
  if (name === 'status') return { about: 'status', code: statusPattern(unquoted(rest)) };
  const equals = word.indexOf('=');
  if (equals > 0 && equals < word.length - 1) {
    return { about: 'attribute', key: unquoted(word.slice(0, equals)), value: pattern(word.slice(equals + 1)) };
  }
  return { about: 'text', text: plain.toLowerCase() };
}

function unquoted(text: string): string {
  return text.replaceAll('"', '');
}

function pattern(text: string): Pattern {
  const isPrefix = text.endsWith('*');
  return { text: unquoted(isPrefix ? text.slice(0, -1) : text), isPrefix };
}

/** In `5xx`, each `x` matches any digit. */
function statusPattern(text: string): RegExp {
  const escaped = text.replace(/[^a-z0-9]/gi, '\\$&');
  return new RegExp(`^${/^\d[\dx]*$/i.test(text) ? escaped.replace(/x/gi, '\\d') : escaped}$`, 'i');
}

function holdsForSpan(term: Condition, span: TraceSpan): boolean {
  switch (term.about) {
    case 'text':
      return mentions(span, term.text);
    case 'attribute':
      return fits(term.value, span.attributes[term.key]) || fits(term.value, span.resource[term.key]);
    case 'service':
      return fits(term.name, span.service);
    case 'status':
      return term.code.test(answer(span.attributes) ?? '');
    case 'error':
      return span.status === 'error';
    case 'duration':
      return isWithin(term, Number(span.endNs - span.startNs));
  }
}

function isWithin({ isLonger, ns }: { readonly isLonger: boolean; readonly ns: number }, durationNs: number): boolean {
  return isLonger ? durationNs >= ns : durationNs <= ns;
}

function fits({ text, isPrefix }: Pattern, value: AttributeValue | undefined): boolean {
  if (Array.isArray(value)) return value.some(item => fits({ text, isPrefix }, item ?? undefined));
  if (value === undefined) return false;
  return isPrefix ? String(value).startsWith(text) : String(value) === text;
}

function mentions(span: TraceSpan, text: string): boolean {
  const has = (value: string | undefined): boolean => value !== undefined && value.toLowerCase().includes(text);
  const hasOne = (attributes: TraceSpan['attributes'] = {}): boolean => {
    for (const key in attributes) if (has(String(attributes[key]))) return true;
    return false;
  };
  return (
    has(span.name) ||
    has(span.service) ||
    has(span.statusMessage) ||
    span.traceId.startsWith(text) ||
    span.spanId.startsWith(text) ||
    hasOne(span.attributes) ||
    span.events.some(event => has(event.name) || hasOne(event.attributes))
  );
}
