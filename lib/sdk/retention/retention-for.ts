/** Builds what holds finished spans, if an option asks for it. */
import type { ResolvedTracingOptions } from '../../options/resolved-options.js';
import { KeepRule } from './keep-rule.js';
import { type Outlet, Retention } from './retention.js';

/** The limits of `keep` by default, which are in force if spans are only folded. */
const LIMITS = { maxSpans: 20_000, maxMemoryMb: 32, maxWaitMs: 60_000 };

/** Returns undefined if spans leave as soon as they end. @internal */
export function retentionFor(
  { keep, fold }: Pick<ResolvedTracingOptions, 'keep' | 'fold'>,
  isComplete: boolean,
  outlets: readonly Outlet[],
): Retention | undefined {
  if (keep === undefined && fold === undefined) return undefined;
  const { maxSpans, maxMemoryMb, maxWaitMs } = keep ?? LIMITS;
  const rule = keep === undefined ? undefined : new KeepRule(keep, isComplete);
  return new Retention(rule, fold, { maxSpans, maxBytes: maxMemoryMb * 1_000_000, maxWaitMs }, outlets);
}
