/** The bare minimum for messages: a CLIENT span around each call, a SERVER span around each handler, headers beside the data. */
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { setUp as setUpMinimum } from './minimum.mjs';

export function setUp(options) {
  setUpMinimum(options);
  const tracer = trace.getTracer('minimum');
  const attributes = method => ({ 'rpc.system.name': 'nestjs', 'rpc.method': method });
  return {
    byHand: {
      async call(method, send) {
        const span = tracer.startSpan(method, { kind: SpanKind.CLIENT, attributes: attributes(method) });
        const ctx = trace.setSpan(context.active(), span);
        const headers = {};
        propagation.inject(ctx, headers);
        try {
          return await context.with(ctx, send, undefined, headers);
        } finally {
          span.end();
        }
      },
      serve(method, headers, handle) {
        const parent = propagation.extract(ROOT_CONTEXT, headers);
        const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes: attributes(method) }, parent);
        try {
          return context.with(trace.setSpan(parent, span), handle);
        } finally {
          span.end();
        }
      },
    },
  };
}
