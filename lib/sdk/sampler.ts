/** Chooses the sampler: from the option `sampler`, else from the environment, else "always on". Creates trace and span ids. */
import { randomFillSync } from 'node:crypto';
import { type Context, isSpanContextValid, ROOT_CONTEXT, type Span, trace, TraceFlags } from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { readName, readNumber } from '../options/environment.js';
import { messages } from '../options/messages.js';
import { reportTrouble } from '../options/trouble.js';
import { quietly } from '../spans/context.js';
import { forcedDecision, isAsked, isDeferred, isSuppressed, RANDOM } from '../propagation/context-values.js';

/** A sampler that decides by the parent and the trace id only. */
interface SamplingRule {
  /** True if a child is recorded when its parent is. */
  readonly followsParent: boolean;
  /** True if every trace without a parent is recorded. */
  readonly isComplete: boolean;
  /** Returns true if a trace without a parent is recorded. */
  samples(traceId: string): boolean;
}

interface ChosenSampler {
  readonly sampler: Sampler;
  /** Undefined for a user's sampler, because its decision cannot be computed in advance. */
  readonly rule: SamplingRule | undefined;
}

const NAMES = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

/** Returns the sampler of the option `sampler` or of `OTEL_TRACES_SAMPLER`. With `canBeAsked`, callers may ask for traces. @internal */
export function chooseSampler(given: number | Sampler | undefined, env: NodeJS.ProcessEnv, canBeAsked = false): ChosenSampler {
  const { sampler, rule } = chosen(given, env);
  return { rule, sampler: canBeAsked ? recordingAsked(sampler) : sampler };
}

function chosen(given: number | Sampler | undefined, env: NodeJS.ProcessEnv): ChosenSampler {
  if (typeof given === 'number') return known(given, true);
  if (given !== undefined) return { sampler: withCallersDecision(guarded(given)), rule: undefined };
  const name = readName(env, 'OTEL_TRACES_SAMPLER', NAMES, 'parentbased_always_on');
  return known(ratioOf(name, env), name.startsWith('parentbased_'));
}

function ratioOf(name: (typeof NAMES)[number], env: NodeJS.ProcessEnv): number {
  if (name.endsWith('always_on')) return 1;
  if (name.endsWith('always_off')) return 0;
  return readNumber(env, 'OTEL_TRACES_SAMPLER_ARG', 1, 'a ratio from 0 to 1', ratio => ratio >= 0 && ratio <= 1);
}

function known(ratio: number, followsParent: boolean): ChosenSampler {
  const root = ratio === 1 ? new AlwaysOnSampler() : ratio === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  const asked = new TraceIdRatioBasedSampler(ratio);
  const samples = (traceId: string) =>
    ratio === 1 || (ratio > 0 && asked.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED);
  const sampler = followsParent ? withCallersDecision(new ParentBasedSampler({ root })) : root;
  return { sampler, rule: { followsParent, isComplete: ratio === 1, samples } };
}

/** Returns a sampler that decides by `shouldSample` and has the name of `sampler`. */
function named(sampler: Sampler, shouldSample: Sampler['shouldSample']): Sampler {
  return { shouldSample, toString: () => String(sampler) };
}

const SAMPLED: SamplingResult = { decision: SamplingDecision.RECORD_AND_SAMPLED };

/** Records every span in a context in which the caller asked for the trace. */
function recordingAsked(sampler: Sampler): Sampler {
  return named(sampler, (ctx, ...question) => (isAsked(ctx) ? SAMPLED : sampler.shouldSample(ctx, ...question)));
}

/**
 * Translates two states of B3. If the caller left the decision to this application, the sampler sees no parent. If the caller sent a
 * decision without a trace, the sampler sees a parent with that decision.
 */
function withCallersDecision(sampler: Sampler): Sampler {
  return named(sampler, (ctx, traceId, name, kind, attributes, links) =>
    sampler.shouldSample(inKnownTerms(ctx, traceId), traceId, name, kind, attributes, links),
  );
}

function inKnownTerms(ctx: Context, traceId: string): Context {
  const caller = trace.getSpanContext(ctx);
  if (caller?.isRemote !== true) return ctx;
  if (isDeferred(caller)) return trace.deleteSpan(ctx);
  return forcedDecision(caller) === undefined ? ctx : trace.setSpanContext(ctx, { ...caller, traceId, spanId: traceId.slice(16) });
}

/** Wraps a user's sampler. The default sampler decides if it throws or returns no decision. */
function guarded(sampler: Sampler): Sampler {
  const fallback = new ParentBasedSampler({ root: new AlwaysOnSampler() });
  return named(sampler, (ctx, traceId, name, kind, attributes, links) => {
    try {
      const result = quietly(() => sampler.shouldSample(ctx, traceId, name, kind, attributes, links));
      if (typeof result?.decision === 'number') return result;
      reportTrouble('sampler', messages.samplerFailed(), new TypeError('no decision was returned'));
    } catch (error) {
      reportTrouble('sampler', messages.samplerFailed(), error);
    }
    return fallback.shouldSample(ctx, traceId, name, kind, attributes, links);
  });
}

/**
 * Returns a function that creates the non-recording span for work in `parent` if `rule` drops it. The SDK is then not called and no
 * attributes are computed. The span has ids and propagates "not sampled". The function returns undefined if the span may be recorded or if
 * `parent` suppresses tracing. @internal
 */
export function knownDecision(rule: SamplingRule, ids: PooledIdGenerator): (parent: Context) => Span | undefined {
  return parent => {
    const caller = trace.getSpanContext(parent);
    if (caller !== undefined && rule.followsParent && (caller.traceFlags & TraceFlags.SAMPLED) !== 0) return undefined;
    if (caller !== undefined && isSpanContextValid(caller)) {
      if ((!rule.followsParent || isDeferred(caller)) && rule.samples(caller.traceId)) return undefined;
      if (isSuppressed(parent)) return undefined;
      const { traceId, traceState } = caller;
      return trace.wrapSpanContext({ traceId, spanId: ids.generateSpanId(), traceFlags: caller.traceFlags & RANDOM, traceState });
    }
    const isRefused = rule.followsParent && forcedDecision(caller) === false;
    // The id is only peeked at, so the SDK uses the same one and comes to the same decision.
    if ((!isRefused && rule.samples(ids.peekTraceId())) || isSuppressed(parent)) return undefined;
    return trace.wrapSpanContext({ traceId: ids.generateTraceId(), spanId: ids.generateSpanId(), traceFlags: RANDOM });
  };
}

/** How much is asked of the system at once. */
const POOL_BYTES = 16_384;
/** How much of it becomes digits at once. An id that is kept keeps this text, so it is short. */
const PART_BYTES = 512;
const TRACE_ID_LENGTH = 32;
const SPAN_ID_LENGTH = 16;

/**
 * Generates trace and span ids from a pool of random digits. Asking the system for each id would cost as much as the span. The next trace id
 * can be read before it is used. @internal
 */
export class PooledIdGenerator {
  private readonly bytes = Buffer.allocUnsafeSlow(POOL_BYTES);
  private usedBytes = POOL_BYTES;
  private digits = '';
  private used = 0;
  private peeked: string | undefined;

  generateTraceId = (): string => {
    const id = this.peeked ?? this.cut(TRACE_ID_LENGTH);
    this.peeked = undefined;
    return id;
  };

  generateSpanId = (): string => this.cut(SPAN_ID_LENGTH);

  /** Returns the trace id that {@link generateTraceId} will return next. The sampling decision can use it before there is a span. */
  peekTraceId(): string {
    return (this.peeked ??= this.cut(TRACE_ID_LENGTH));
  }

  private cut(length: number): string {
    if (this.used + length > this.digits.length) {
      if (this.usedBytes === POOL_BYTES) {
        randomFillSync(this.bytes);
        this.usedBytes = 0;
      }
      this.digits = this.bytes.toString('hex', this.usedBytes, (this.usedBytes += PART_BYTES));
      this.used = 0;
    }
    const from = this.used;
    this.used += length;
    const id = this.digits.slice(from, this.used);
    return isZero(id) ? this.cut(length) : id;
  }
}

/** True if the id consists of zeros only, which is invalid. The first character nearly always decides. */
function isZero(id: string): boolean {
  return id.startsWith('0') && /^0+$/.test(id);
}
