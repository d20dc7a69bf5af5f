/**
 * Decides by the trace id which part of the traces is kept, so that all services decide alike:
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
 */
import { createTraceState, type SpanContext, type TraceState } from '@opentelemetry/api';

/** A threshold or a random value: 56 bits as 14 lower-case hex digits. Texts of this length compare like the numbers. */
type Digits = string;

const DIGITS = 14;
const BITS = 56;
/** Significant digits of a threshold. Digits `f` at its beginning do not count, so small ratios are as precise as large ones. */
const PRECISION = 4;
const NOTHING_REJECTED: Digits = '0'.repeat(DIGITS);
const LARGEST = (1n << BigInt(BITS)) - 1n;

const MEMBER = 'ot';
const THRESHOLD = 'th';
const RANDOM_VALUE = 'rv';

/** Returns the threshold of a ratio from 0 to 1. Returns undefined for a ratio that keeps nothing. @internal */
export function thresholdOf(ratio: number): Digits | undefined {
  if (ratio <= 0) return undefined;
  const rejected = BigInt(Math.round((1 - ratio) * 2 ** BITS));
  // A ratio above 0 keeps something, however small it is.
  const exact = hex(rejected > LARGEST ? LARGEST : rejected);
  const leading = /^f*/.exec(exact)?.[0].length ?? 0;
  const digits = Math.min(DIGITS, leading + PRECISION);
  const unit = 1n << BigInt(4 * (DIGITS - digits));
  const rounded = ((BigInt(`0x${exact}`) + unit / 2n) / unit) * unit;
  // Rounded up to all of it, nothing would be kept.
  return rounded > LARGEST ? exact : hex(rounded);
}

function hex(value: bigint): Digits {
  return value.toString(16).padStart(DIGITS, '0');
}

/** Returns true if a trace is kept at this threshold. The caller may have sent the random value; else the trace id is one. @internal */
export function isWithin(threshold: Digits, { traceId, traceState }: SpanContext): boolean {
  const sent = traceState === undefined ? undefined : valueIn(traceState, RANDOM_VALUE);
  const random = sent !== undefined && /^[0-9a-f]{14}$/.test(sent) ? sent : traceId.slice(-DIGITS);
  return random >= threshold;
}

/**
 * Returns `state` with the threshold at which the trace was kept, or with the one that it came with if that rejects more. `threshold` is
 * undefined for what is kept in any case. @internal
 */
export function withThreshold(state: TraceState | undefined, threshold: Digits | undefined): TraceState {
  const sent = state === undefined ? undefined : valueIn(state, THRESHOLD);
  const before = sent !== undefined && /^[0-9a-f]{1,14}$/.test(sent) ? sent.padEnd(DIGITS, '0') : NOTHING_REJECTED;
  const now = threshold ?? NOTHING_REJECTED;
  const shown = (now > before ? now : before).replace(/0+$/, '') || '0';
  const others = pairsOf(state).filter(pair => !pair.startsWith(`${THRESHOLD}:`));
  const result = (state ?? createTraceState()).set(MEMBER, [`${THRESHOLD}:${shown}`, ...others].join(';'));
  received.set(result, state);
  return result;
}

const received = new WeakMap<TraceState, TraceState | undefined>();

/** Returns what {@link withThreshold} has made `state` of, or `state` itself. @internal */
export function withoutThreshold(state: TraceState): TraceState | undefined {
  return received.has(state) ? received.get(state) : state;
}

function valueIn(state: TraceState, key: string): string | undefined {
  return pairsOf(state)
    .find(pair => pair.startsWith(`${key}:`))
    ?.slice(key.length + 1);
}

function pairsOf(state: TraceState | undefined): string[] {
  const member = state?.get(MEMBER);
  return member === undefined ? [] : member.split(';').filter(pair => pair !== '');
}
