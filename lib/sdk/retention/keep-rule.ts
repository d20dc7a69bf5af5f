/** Decides by the option `keep` whether a local root is kept, and why. */
import { SpanStatusCode, type TraceState } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import type { KeepReason } from '../../conventions/retention.js';
import type { ResolvedKeepOptions } from '../../options/resolved-retention.js';
import { guarded } from '../../options/trouble.js';
import { LightSpan } from '../span/light-span.js';
import type { HeldRoot } from './local-root.js';
import { isWithin, thresholdOf, withThreshold } from './probability.js';
import { SlowRequests } from './slow-requests.js';

/** How many kept traces are remembered at least and, at twice this number, at most. */
const REMEMBERED = 2000;

interface StateOfKept {
  readonly state: TraceState | undefined;
  readonly threshold: string | undefined;
  readonly result: TraceState;
}

/** @internal */
export class KeepRule {
  private readonly threshold: string | undefined;
  private readonly slow = new SlowRequests();
  /** The ids of traces that were kept for another reason than their id. The older half is in `keptBefore`. */
  private kept = new Set<string>();
  private keptBefore = new Set<string>();
  private last: StateOfKept | undefined;

  /** @param isComplete true if each trace that begins here is recorded: only then the threshold tells how many traces one stands for */
  constructor(
    private readonly options: ResolvedKeepOptions,
    private readonly isComplete: boolean,
  ) {
    this.threshold = thresholdOf(options.ratio);
  }

  /** Returns why `root` is kept. Returns undefined if it is dropped. `isOver`: false if it still runs, after `durationMs`. */
  decide(root: HeldRoot, durationMs: number, isOver: boolean): KeepReason | undefined {
    const { span } = root;
    const context = span.spanContext();
    // A duration is counted even if the local root is kept for another reason.
    const isSlow = this.isSlow(span.name, durationMs, isOver);
    const reason = this.certain(root, isSlow) ?? (this.isRemembered(context.traceId) ? 'trace' : undefined);
    if (reason !== undefined) {
      this.remember(context.traceId);
      return reason;
    }
    return this.threshold !== undefined && isWithin(this.threshold, context) ? 'ratio' : undefined;
  }

  /** Returns the `tracestate` of a span that is kept. Remembers the last one, because the spans of a trace share theirs. */
  stateOf(state: TraceState | undefined, reason: KeepReason): TraceState | undefined {
    if (!this.isComplete) return state;
    const { last } = this;
    const threshold = reason === 'ratio' ? this.threshold : undefined;
    if (last !== undefined && last.state === state && last.threshold === threshold) return last.result;
    const result = withThreshold(state, threshold);
    this.last = { state, threshold, result };
    return result;
  }

  private certain(root: HeldRoot, isSlow: boolean): KeepReason | undefined {
    if (root.isAsked) return 'asked';
    if (this.options.errors && (root.hasFailed || hasFailed(root.span))) return 'error';
    return isSlow ? 'slow' : undefined;
  }

  private isSlow(route: string, durationMs: number, isOver: boolean): boolean {
    const { slowerThanMs } = this.options;
    const limit = typeof slowerThanMs === 'function' ? guarded('keep.slowerThanMs', () => slowerThanMs(route), undefined) : slowerThanMs;
    if (limit === 'p99') return isOver ? this.slow.isSlow(route, durationMs) : this.slow.isSlowAlready(route, durationMs);
    return typeof limit === 'number' && durationMs >= limit;
  }

  private isRemembered(traceId: string): boolean {
    return this.kept.has(traceId) || this.keptBefore.has(traceId);
  }

  private remember(traceId: string): void {
    this.kept.add(traceId);
    if (this.kept.size < REMEMBERED) return;
    this.keptBefore = this.kept;
    this.kept = new Set();
  }
}

/** @internal */
export function hasFailed(span: Pick<ReadableSpan, 'status'>): boolean {
  // A span of ours makes its status when it is read.
  return (span instanceof LightSpan ? span.outcome : span.status)?.code === SpanStatusCode.ERROR;
}
