/** The global interceptor: opens the server span in every execution context that has no earlier seam; HTTP requests have theirs already. */
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { context, SpanKind, trace } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { codeAttributes } from '../conventions/code.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { SLIM_ROOT, untracedContext } from '../local/slim-context.js';
import { observeInSpan } from '../local/observe-in-span.js';
import { type TracingApplication, withWork, workIn } from '../local/work.js';

export class ServerSpanInterceptor implements NestInterceptor {
  constructor(private readonly application: TracingApplication) {}

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (workIn() !== undefined) return next.handle();
    const { application } = this;
    const [controller, method] = [execution.getClass(), execution.getHandler().name];
    if (isNoSpan(controller, method)) return context.with(untracedContext({ application, relay: SLIM_ROOT }), () => next.handle());
    const span =
      application.unsampledSpan(SLIM_ROOT) ??
      application.tracer.startSpan(
        `${controller.name}.${method}`,
        { kind: SpanKind.SERVER, attributes: codeAttributes(controller.name, method) },
        SLIM_ROOT,
      );
    // Nest binds the handler to the context of this call, not to that of the later subscription.
    const ctx = withWork(trace.setSpan(SLIM_ROOT, span), { application });
    return observeInSpan(span, ctx, () => next.handle());
  }
}
