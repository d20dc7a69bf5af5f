/** Limits the spans of a local root. Beyond the limit no span is made: the call is counted on the span that it is made in. */
import { type Context, type Span, trace } from '@opentelemetry/api';
import { recordOmitted, recordOmittedTotal } from '../../conventions/retention.js';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import { assign, type LocalRoot, localRootOf } from './local-root.js';

/** @internal */
export class Budget {
  constructor(private readonly limit: number) {}

  /**
   * Returns what takes the place of a further span in `parent`, if the budget is used up: a span that records nothing and has the ids of the
   * nearest recorded one, so that outgoing calls continue the trace there. `isWork`: the span would be that of a request, message or job.
   */
  standIn(parent: Context, isWork = false): Span | undefined {
    const active = trace.getSpan(parent);
    const root = localRootOf(active);
    if (root === undefined || active === undefined || root.started < this.limit) return undefined;
    if (root.hasEnded) {
      if (isWork) return undefined;
      // No span can say any more how many are missing.
      reportTrouble('budget', messages.budgetUsedUpLate(root.span.name, this.limit));
    }
    const nearest = active.spanContext();
    root.omitted ??= new Map();
    root.omitted.set(nearest.spanId, (root.omitted.get(nearest.spanId) ?? 0) + 1);
    const standIn = trace.wrapSpanContext(nearest);
    assign(standIn, root);
    return standIn;
  }

  /** Called before a span ends, if calls of its local root were omitted. */
  record(root: LocalRoot, span: Span): void {
    const { omitted } = root;
    const own = omitted?.get(span.spanContext().spanId);
    if (own !== undefined) recordOmitted(span, own);
    if (omitted === undefined || root.span !== span) return;
    let total = 0;
    for (const count of omitted.values()) total += count;
    recordOmittedTotal(span, total, this.limit);
  }
}
