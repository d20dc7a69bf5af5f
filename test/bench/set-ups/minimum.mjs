/** The bare minimum: one SERVER span around the server's request event, one CLIENT span around an axios call, and nothing else. */
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { droppingExporter } from '../app/dropping.exporter.mjs';

/** `isSent`: OTLP by OpenTelemetry's exporter, to a server that reads nothing. */
export async function setUp({ isSampled = true, isSent = false }) {
  const exporter = isSent ? await otlpExporter() : droppingExporter;
  const provider = new NodeTracerProvider({
    spanProcessors: [new BatchSpanProcessor(exporter)],
    sampler: isSampled ? new ParentBasedSampler({ root: new AlwaysOnSampler() }) : new AlwaysOffSampler(),
  });
  provider.register({ contextManager: new AsyncLocalStorageContextManager(), propagator: new W3CTraceContextPropagator() });
  const tracer = provider.getTracer('minimum');
  return {
    async beforeListen(app) {
      traceServer(app.getHttpServer(), tracer);
      const { HttpService } = await import('@nestjs/axios');
      traceAxios(app.get(HttpService, { strict: false }).axiosRef, tracer);
    },
  };
}

async function otlpExporter() {
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
  return new OTLPTraceExporter({ url: `http://127.0.0.1:${process.env['BENCH_DOWNSTREAM']}/v1/traces` });
}

function traceServer(server, tracer) {
  const { emit } = server;
  server.emit = function (event, request, response, ...others) {
    if (event !== 'request') return emit.call(this, event, request, response, ...others);
    const { headers, method, url } = request;
    const { host } = headers;
    const mark = url.indexOf('?');
    const colon = host.lastIndexOf(':');
    const attributes = {
      'http.request.method': method,
      'url.path': mark < 0 ? url : url.slice(0, mark),
      'url.scheme': 'http',
      'server.address': host.slice(0, colon),
      'server.port': Number(host.slice(colon + 1)),
      'network.protocol.version': request.httpVersion,
    };
    const parent = propagation.extract(ROOT_CONTEXT, headers);
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
    response.on('close', () => {
      span.setAttribute('http.response.status_code', response.statusCode);
      if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    return context.with(trace.setSpan(parent, span), () => emit.call(this, event, request, response));
  };
}

function traceAxios({ interceptors }, tracer) {
  interceptors.request.use(
    config => {
      const { hostname, port } = new URL(config.url);
      const method = config.method.toUpperCase();
      const attributes = {
        'http.request.method': method,
        'url.full': config.url,
        'server.address': hostname,
        'server.port': Number(port),
      };
      const parent = context.active();
      const span = tracer.startSpan(method, { kind: SpanKind.CLIENT, attributes }, parent);
      propagation.inject(trace.setSpan(parent, span), config.headers);
      config.span = span;
      return config;
    },
    undefined,
    { synchronous: true },
  );
  interceptors.response.use(
    response => {
      response.config.span.setAttribute('http.response.status_code', response.status);
      response.config.span.end();
      return response;
    },
    error => {
      error.config?.span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      error.config?.span.end();
      throw error;
    },
  );
}
