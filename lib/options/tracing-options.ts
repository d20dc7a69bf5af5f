/** What users can set: the options, what they mean and their defaults. */
import type { Attributes, MeterProvider, Span, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import type { Sampler, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { CaptureOptions } from './capture-options.js';
import type { GraphqlOptions } from './graphql-options.js';
import type { FoldOptions, KeepHeader, KeepOptions } from './retention-options.js';
import type { MethodsOptions } from './methods-options.js';

/** An exporter by name; `auto` follows the environment (see {@link TracingOptions.exporter}). @publicApi */
export type ExporterName = 'auto' | 'otlp' | 'waterfall' | 'console' | 'zipkin' | 'none';

/** A header format by name. `b3` reads both B3 forms and writes the single header, `b3multi` writes `X-B3-*`. @publicApi */
export type PropagatorName = 'tracecontext' | 'baggage' | 'b3' | 'b3multi' | 'none';

/** The parts of an incoming HTTP request that rules and hooks can rely on, with every adapter. @publicApi */
export interface InboundRequest {
  readonly method?: string;
  /** Path and query as the client sent them. */
  readonly url?: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** An incoming call, message, event or job, as rules see it. @publicApi */
export interface InboundMessage extends InboundRequest {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`, `grpc`, `nestjs.tcp` … */
  readonly system: string;
  /** Topic, subject, queue, channel, or the method that is called; also in `url`. */
  readonly destination: string;
}

/** An outgoing call, message, event or job, as rules see it. @publicApi */
export interface OutboundMessage {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`, `grpc`, `nestjs.tcp` … */
  readonly system: string;
  /** Topic, subject, queue, channel, or the method that is called. */
  readonly destination: string;
}

/** The parts of the response that hooks can rely on, with every adapter. @publicApi */
export interface InboundResponse {
  readonly statusCode: number;
  getHeader(name: string): number | string | readonly string[] | undefined;
}

/** A rule that matches requests, calls or messages: an exact text, a prefix that ends in `*`, a RegExp, or a function. @publicApi */
export type IgnoreRule<Request> = string | RegExp | ((request: Request) => boolean);

/** How work that reaches this application is traced: requests, messages, events and jobs. @publicApi */
export interface InboundOptions {
  /**
   * Requests that get no span. Text and RegExp are matched against the path without its query. Outgoing calls still pass on the caller's
   * trace headers. @default []
   */
  readonly ignore?: IgnoreRule<InboundRequest> | readonly IgnoreRule<InboundRequest>[];
  /**
   * Whether the trace of a caller is continued: for all requests, or as a function decides. If not, a new trace begins, with a link to the
   * caller's span. The caller's sampling decision and baggage are then ignored. @default true
   */
  readonly trust?: boolean | ((request: InboundRequest) => boolean);
  /**
   * Calls, messages, events and jobs that get no span. Text and RegExp are matched against the destination: the pattern, topic, queue or
   * method. @default []
   */
  readonly ignoreMessages?: IgnoreRule<InboundMessage> | readonly IgnoreRule<InboundMessage>[];
  /**
   * How the span of a message or job belongs to the sender's span: with `'parent'` it is a child, in the same trace. With `'link'` it begins
   * a new trace, with a link to the sender's span. Over TCP, gRPC and custom transports it is always a child. @default 'parent'
   */
  readonly messageOrigin?: 'parent' | 'link';
  /**
   * How the span of an event handler in the same process (`@OnEvent()`, `@EventsHandler()`, or a command of a saga) belongs to the span that
   * emitted the event: with `'parent'` it is a child. With `'link'` it begins a new trace, with a link. @default 'parent'
   */
  readonly eventOrigin?: 'parent' | 'link';
  /** Request headers that are recorded as `http.request.header.<name>`. @default [] */
  readonly captureRequestHeaders?: readonly string[];
  /** Response headers that are recorded as `http.response.header.<name>`. @default [] */
  readonly captureResponseHeaders?: readonly string[];
  /**
   * Query keys whose values are recorded as `REDACTED`. Your list replaces the default one.
   * @default ['X-Amz-Signature', 'X-Amz-Credential', 'X-Amz-Security-Token', 'AWSAccessKeyId', 'Signature', 'sig', 'X-Goog-Signature']
   */
  readonly redactQueryKeys?: readonly string[];
  /** Whether the client's address, the host and the scheme are taken from `Forwarded` and `X-Forwarded-*`. @default true */
  readonly trustForwardedHeaders?: boolean;
  /** The response header that carries the trace id: `true` means `x-trace-id`, text names another one. @default false */
  readonly responseHeader?: boolean | string;
  /** Which parts of a request are recorded if it fails or takes long. @default none */
  readonly captureOnFailure?: CaptureOptions;
  /** The header, with a secret, by which a caller makes its trace recorded and kept. @default none */
  readonly keepHeader?: KeepHeader;
  /** Is called after the start of a server span that is recorded. If it throws, the error is logged, and the request goes on. @default none */
  readonly onRequest?: (span: Span, request: InboundRequest) => void;
  /** Is called just before a recorded server span ends. If it throws, the error is logged, and the request goes on. @default none */
  readonly onResponse?: (span: Span, response: InboundResponse, request: InboundRequest) => void;
}

/** The parts of an outgoing HTTP call that rules and hooks can rely on, for every client. @publicApi */
export interface OutboundRequest {
  readonly method: string;
  readonly url: URL;
}

/** The parts of the response to an outgoing call. @publicApi */
export interface OutboundResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** How work that leaves this application is traced: HTTP calls, messages, events and jobs. @publicApi */
export interface OutboundOptions {
  /** HTTP calls without span and trace headers. Text and RegExp are matched against the URL without its query. @default [] */
  readonly ignore?: IgnoreRule<OutboundRequest> | readonly IgnoreRule<OutboundRequest>[];
  /**
   * Calls, messages, events and jobs without span and trace headers. Text and RegExp are matched against the destination.
   * @default []
   */
  readonly ignoreMessages?: IgnoreRule<OutboundMessage> | readonly IgnoreRule<OutboundMessage>[];
  /**
   * Hosts that receive trace headers: `host`, `host:port`, `*.domain`, a RegExp that is matched against both `host` and `host:port`, or a
   * function. @default every host
   */
  readonly propagateTo?: IgnoreRule<OutboundRequest> | readonly IgnoreRule<OutboundRequest>[];
  /** Request headers that are recorded as `http.request.header.<name>`. @default [] */
  readonly captureRequestHeaders?: readonly string[];
  /** Response headers that are recorded as `http.response.header.<name>`. @default [] */
  readonly captureResponseHeaders?: readonly string[];
  /** Query keys whose values are recorded as `REDACTED`. Your list replaces the default one. @default as `inbound.redactQueryKeys` */
  readonly redactQueryKeys?: readonly string[];
  /** Whether the global `fetch` and undici are traced. @default true */
  readonly fetch?: boolean;
  /**
   * Whether calls through `node:http` and `node:https` are traced, such as those of got, node-fetch and http-proxy-middleware.
   * @default true
   */
  readonly http?: boolean;
  /** Is called after the start of a client span that is recorded. If it throws, the error is logged, and the call goes on. @default none */
  readonly onRequest?: (span: Span, request: OutboundRequest) => void;
  /** Is called when the headers of the response have come. If it throws, the error is logged, and the call goes on. @default none */
  readonly onResponse?: (span: Span, response: OutboundResponse, request: OutboundRequest) => void;
}

/** A statement or command to a database, as rules see it. @publicApi */
export interface DatabaseQuery {
  /** `postgresql`, `mysql`, `mongodb`, `redis` … */
  readonly system: string;
  /** The name of the database. */
  readonly namespace?: string | undefined;
  /** The name of the span, such as `SELECT users`. */
  readonly summary: string;
  /** `SELECT`, `INSERT`, `find`, `GET` … */
  readonly operation?: string | undefined;
  /** The table or collection, if there is exactly one. */
  readonly collection?: string | undefined;
  /** The text without values. */
  readonly text?: string | undefined;
}

/** How statements and commands to databases and caches are traced. @publicApi */
export interface DatabaseOptions {
  /** Statements that get no span. Text and RegExp are matched against the name of the span, such as `SELECT users`. @default [] */
  readonly ignore?: IgnoreRule<DatabaseQuery> | readonly IgnoreRule<DatabaseQuery>[];
  /** Whether the text is recorded as `db.query.text`. Each value in the text is replaced by `?`. @default true */
  readonly queryText?: boolean;
  /** Whether the parameters of a statement are recorded as `db.query.parameter.<name>`. They may be secret. @default false */
  readonly captureParameters?: boolean;
}

/** How the page is served that shows the traces of all services on this machine. @publicApi */
export interface ViewerOptions {
  /** The port on 127.0.0.1. Services that share a viewer use the same one. @default 4318 */
  readonly port?: number;
  /** How many megabytes of spans are kept. Beyond that, the trace that got no span for the longest time is dropped. @default 32 */
  readonly maxMemoryMb?: number;
  /** Whether the viewer also runs with `NODE_ENV=production`. @default false */
  readonly inProduction?: boolean;
  /** Whether the viewer also runs with `NODE_ENV=test`. Each test process then tries to open the port. @default false */
  readonly inTest?: boolean;
}

/** What is used of an instrumentation: `new PgInstrumentation()` of `@opentelemetry/instrumentation-pg`, for example. @publicApi */
export interface Instrumentation {
  readonly instrumentationName: string;
  setTracerProvider(provider: TracerProvider): void;
  enable(): void;
  disable(): void;
}

/** Options of {@link TracingModule.forRoot}; every one is optional. Code wins over the environment, the environment over defaults. @publicApi */
export interface TracingOptions {
  /**
   * `false` makes no spans and exports nothing. The caller's trace context still reaches outgoing calls. `OTEL_SDK_DISABLED=true` does the
   * same and wins over code.
   * @default true
   * @env OTEL_SDK_DISABLED
   */
  readonly enabled?: boolean;
  /**
   * The name of the service, `service.name`.
   * @default from nest-cli.json or package.json
   * @env OTEL_SERVICE_NAME
   */
  readonly serviceName?: string;
  /** The version of the service, `service.version`. @default the version in package.json */
  readonly serviceVersion?: string;
  /**
   * Attributes of the service, such as `service.namespace`. They win over those of the variable.
   * @default {}
   * @env OTEL_RESOURCE_ATTRIBUTES
   */
  readonly resource?: Attributes;
  /**
   * Where spans go: a name, an exporter, or a list of them. `'auto'` uses `OTEL_TRACES_EXPORTER` if that is set. If not, it is `'otlp'` if
   * the environment names an OTLP endpoint or `NODE_ENV` is `production`, `'none'` if `NODE_ENV` is `test`, else `'waterfall'`.
   * @default 'auto'
   * @env OTEL_TRACES_EXPORTER
   */
  readonly exporter?: ExporterName | SpanExporter | readonly (ExporterName | SpanExporter)[];
  /** Further span processors, which run before the exporters. @default [] */
  readonly spanProcessors?: readonly SpanProcessor[];
  /**
   * Where the number of spans is reported. The metrics are those of the SDK: `otel.sdk.span.started` and `otel.sdk.span.live`.
   * @default none
   */
  readonly meterProvider?: MeterProvider;
  /**
   * The share of traces to record, 0 to 1, or a `Sampler`. A number decides for traces that begin here. If the caller sends a
   * sampling decision, that decision is followed.
   * @default 1
   * @env OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
   */
  readonly sampler?: number | Sampler;
  /**
   * Whether only the requests worth keeping are exported. These are failed and slow ones, and a ratio of the others. This is decided at
   * their end; until then everything is recorded. An object sets which. @default false
   */
  readonly keep?: boolean | KeepOptions;
  /**
   * Whether many similar spans below one parent become one. It says how many there were and how long they took. An object sets how many.
   * @default on with `methods`, else off
   */
  readonly fold?: boolean | FoldOptions;
  /** How many spans a request, message or job has at most. Further calls are only counted. `false` sets no limit. @default 1000 */
  readonly budget?: number | false;
  /**
   * Formats of trace headers, by name or as instances. They are read and written. An empty list or `['none']` switches them off.
   * @default ['tracecontext', 'baggage', 'b3']
   * @env OTEL_PROPAGATORS
   */
  readonly propagators?: readonly (PropagatorName | TextMapPropagator)[];
  /** A tracer provider that you built. It is used as it is and not shut down. @default the registered one, else a new one */
  readonly tracerProvider?: TracerProvider;
  /**
   * Instrumentations of OpenTelemetry for further libraries. They use the same provider while the application
   * runs. Create them before the libraries are loaded, or start with `node --import nestjs-tracing/register dist/main.js`. Libraries that are
   * ES modules always need the flag.
   * @default []
   */
  readonly instrumentations?: readonly Instrumentation[];
  /** Requests, messages, events and jobs that come in. */
  readonly inbound?: InboundOptions;
  /** Calls, messages and jobs that go out. */
  readonly outbound?: OutboundOptions;
  /** Spans of GraphQL operations, resolvers and fields. */
  readonly graphql?: GraphqlOptions;
  /**
   * Whether calls of databases and caches are spans. An object sets how.
   * @default true
   */
  readonly databases?: boolean | DatabaseOptions;
  /** Whether methods of providers are spans. An object sets which. @default false */
  readonly methods?: boolean | MethodsOptions;
  /**
   * Whether the start of the application is a trace. Its root span is `application start`; the providers, each hook (`onModuleInit`,
   * `onApplicationBootstrap`) and listening have a span below it. @default false
   */
  readonly startUp?: boolean;
  /** Whether log lines carry `trace_id` and `span_id`. It works with Nest's `ConsoleLogger`. @default false */
  readonly logs?: boolean;
  /** Whether a page shows the traces of all local services. An object sets how. @default false */
  readonly viewer?: boolean | ViewerOptions;
  /**
   * How long `app.close()` waits at most, in milliseconds. It waits for handlers that still run, but not for streams. The last fifth, at most
   * a second, is for sending the last spans. If a handler still runs then, its span fails. `Tracer.flush()` waits at most as long.
   * @default 5000
   */
  readonly shutdownTimeoutMs?: number;
}
