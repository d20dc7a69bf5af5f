/** Decides which traces are recorded: the option's ratio or Sampler, else the environment's, else all, after the parent. */
import { type Attributes, type Context, type Link, ROOT_CONTEXT, type SpanKind, trace } from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { reportTrouble } from '../local/trouble.js';
import { callersWish, isDeferred } from '../propagation/sampling-wish.js';
import { readName, readNumber } from '../tracing.environment.js';
import { messages } from '../tracing.messages.js';

/** A sampler whose decision follows from the parent and the trace id alone. @internal */
export interface SamplingRule {
  /** A child is recorded where its parent is. */
  readonly followsParent: boolean;
  /** Whether a trace without parent is recorded. */
  samples(traceId: string): boolean;
}

/** @internal */
export interface ChosenSampler {
  readonly sampler: Sampler;
  /** `undefined` for a user's own: what it decides is not known before it is asked. */
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

/** The sampler of the option `sampler` or of `OTEL_TRACES_SAMPLER`. @internal */
export function chooseSampler(given: number | Sampler | undefined, env: NodeJS.ProcessEnv): ChosenSampler {
  if (typeof given === 'number') return known(given, true);
  if (given !== undefined) return { sampler: new WishfulSampler(new GuardedSampler(given)), rule: undefined };
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
  return { sampler: followsParent ? new WishfulSampler(new ParentBasedSampler({ root })) : root, rule: { followsParent, samples } };
}

/** Shows any sampler, in terms that it knows, what only B3 can say: no parent where the decision is left to us, else one of that mind. */
class WishfulSampler implements Sampler {
  constructor(private readonly sampler: Sampler) {}

  shouldSample(ctx: Context, traceId: string, name: string, kind: SpanKind, attributes: Attributes, links: Link[]): SamplingResult {
    return this.sampler.shouldSample(inKnownTerms(ctx, traceId), traceId, name, kind, attributes, links);
  }

  toString(): string {
    return String(this.sampler);
  }
}

function inKnownTerms(ctx: Context, traceId: string): Context {
  const caller = trace.getSpanContext(ctx);
  if (caller?.isRemote !== true) return ctx;
  if (isDeferred(caller)) return trace.deleteSpan(ctx);
  return callersWish(caller) === undefined ? ctx : trace.setSpanContext(ctx, { ...caller, traceId, spanId: traceId.slice(16) });
}

/** A user's sampler; where it throws or returns nothing, the default decides. */
class GuardedSampler implements Sampler {
  private readonly fallback = new ParentBasedSampler({ root: new AlwaysOnSampler() });

  constructor(private readonly sampler: Sampler) {}

  shouldSample(ctx: Context, traceId: string, name: string, kind: SpanKind, attributes: Attributes, links: Link[]): SamplingResult {
    try {
      const result = this.sampler.shouldSample(ctx, traceId, name, kind, attributes, links);
      if (typeof result?.decision === 'number') return result;
      reportTrouble('sampler', messages.samplerFailed(), new TypeError('no decision was returned'));
    } catch (error) {
      reportTrouble('sampler', messages.samplerFailed(), error);
    }
    return this.fallback.shouldSample(ctx, traceId, name, kind, attributes, links);
  }

  toString(): string {
    return String(this.sampler);
  }
}
