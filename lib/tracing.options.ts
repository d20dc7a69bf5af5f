/** What users can set: the options, what they mean and their defaults. */
import type { Attributes, Span, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import type { ExporterName } from './pipeline/exporter-choice.js';
import type { Sampler, SpanExporter, SpanProcessor } from './pipeline/sdk.js';
import type { PropagatorName } from './propagation/propagator-choice.js';
import type { ViewerOptions } from './viewer/viewer-options.js';

export type { ExporterName } from './pipeline/exporter-choice.js';
export type { PropagatorName } from './propagation/propagator-choice.js';

/** The parts of an incoming HTTP request that rules and hooks may rely on, on every adapter. @publicApi */
export interface InboundRequest {
  readonly method?: string;
  /** Path and query as they came in. */
  readonly url?: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A call, message, event or job that comes in, as rules see it. @publicApi */
export interface InboundMessage extends InboundRequest {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`, `grpc`, `nestjs.tcp` … */
  readonly system: string;
  /** Topic, subject, queue, channel, or the method that is called; also in `url`. */
  readonly destination: string;
}

/** A call, message, event or job that goes out, as rules see it. @publicApi */
export interface OutboundMessage {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`, `grpc`, `nestjs.tcp` … */
  readonly system: string;
  /** Topic, subject, queue, channel, or the method that is called. */
  readonly destination: string;
}

/** The parts of the response that hooks may rely on, on every adapter. @publicApi */
export interface InboundResponse {
  readonly statusCode: number;
  getHeader(name: string): number | string | readonly string[] | undefined;
}

/** Which requests are not traced: an exact path without query, a prefix ending in `*`, a RegExp on the path, or a function. @publicApi */
export type IgnoreRule<Request> = string | RegExp | ((request: Request) => boolean);

/** How requests that reach this application are traced. @publicApi */
export interface InboundOptions {
  /** Requests that get no span; their incoming context is still passed on to outgoing calls. @default [] */
  readonly ignore?: IgnoreRule<InboundRequest> | readonly IgnoreRule<InboundRequest>[];
  /**
   * Whose trace context is continued. An untrusted caller's becomes a link on a new root span; its sampled flag and baggage are
   * ignored. @default true
   */
  readonly trust?: boolean | ((request: InboundRequest) => boolean);
  /**
   * Calls, messages, events and jobs that get no span, by their destination: an exact one, a prefix ending in `*`, a RegExp, or a
   * function. @default []
   */
  readonly ignoreMessages?: IgnoreRule<InboundMessage> | readonly IgnoreRule<InboundMessage>[];
  /**
   * What the sender's span is to that of a message: its parent, so that there is one trace, or a link from a trace of its own. Calls,
   * which are waited for, have the caller's span as parent. @default 'parent'
   */
  readonly messageOrigin?: 'parent' | 'link';
  /**
   * What the span of whoever emits or publishes an event in this process is to those of its handlers (`@OnEvent()`, `@EventsHandler()`, and
   * the commands of sagas): their parent, or a link from traces of their own. @default 'parent'
   */
  readonly eventOrigin?: 'parent' | 'link';
  /** Request headers recorded as `http.request.header.<name>`. @default [] */
  readonly captureRequestHeaders?: readonly string[];
  /** Response headers recorded as `http.response.header.<name>`. @default [] */
  readonly captureResponseHeaders?: readonly string[];
  /** Query keys whose values are replaced by `REDACTED`; replaces the default list. @default the list of the semantic conventions */
  readonly redactQueryKeys?: readonly string[];
  /** Whether `Forwarded` and `X-Forwarded-*` name client, host and scheme, as the conventions want it. @default true */
  readonly trustForwardedHeaders?: boolean;
  /** Response header that carries the trace id: `true` for `x-trace-id`, or a name. @default false */
  readonly responseHeader?: boolean | string;
  /** Called when a recording server span has started; runs guarded. @default none */
  readonly onRequest?: (span: Span, request: InboundRequest) => void;
  /** Called right before a recording server span ends; runs guarded. @default none */
  readonly onResponse?: (span: Span, response: InboundResponse, request: InboundRequest) => void;
}

/** The parts of an outgoing HTTP call that rules and hooks may rely on, for axios and for `fetch`. @publicApi */
export interface OutboundRequest {
  readonly method: string;
  readonly url: URL;
}

/** The parts of the answer to an outgoing call. @publicApi */
export interface OutboundResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** How calls that leave this application are traced. @publicApi */
export interface OutboundOptions {
  /** Calls that get neither span nor headers; strings are matched against `origin + path`. @default [] */
  readonly ignore?: IgnoreRule<OutboundRequest> | readonly IgnoreRule<OutboundRequest>[];
  /**
   * Calls, messages, events and jobs that get neither span nor headers, by their destination: an exact one, a prefix ending in `*`, a
   * RegExp, or a function. @default []
   */
  readonly ignoreMessages?: IgnoreRule<OutboundMessage> | readonly IgnoreRule<OutboundMessage>[];
  /** Hosts that receive trace headers: `host`, `host:port`, `*.domain`, a RegExp on `host:port`, or a function. @default everywhere */
  readonly propagateTo?: IgnoreRule<OutboundRequest> | readonly IgnoreRule<OutboundRequest>[];
  /** Request headers recorded as `http.request.header.<name>`. @default [] */
  readonly captureRequestHeaders?: readonly string[];
  /** Response headers recorded as `http.response.header.<name>`. @default [] */
  readonly captureResponseHeaders?: readonly string[];
  /** Query keys whose values are replaced by `REDACTED`; replaces the default list. @default the list of the semantic conventions */
  readonly redactQueryKeys?: readonly string[];
  /** Whether global `fetch` and undici are traced. @default true */
  readonly fetch?: boolean;
  /** Called when a recording client span has started; runs guarded. @default none */
  readonly onRequest?: (span: Span, request: OutboundRequest) => void;
  /** Called when the response headers have arrived; runs guarded. @default none */
  readonly onResponse?: (span: Span, response: OutboundResponse, request: OutboundRequest) => void;
}

/** How GraphQL is traced. The server span always is named after the operation. @publicApi */
export interface GraphqlOptions {
  /** Whether each operation within an HTTP request has a span, `query Users`, below that of the request. @default false */
  readonly operations?: boolean;
  /** Whether each call of a resolver's method has a span, `UsersResolver.users`. @default false */
  readonly resolvers?: boolean;
  /** Whether each field has a span, those without a resolver included: `User.name`. One for each field of each object. @default false */
  readonly fields?: boolean;
  /** Whether spans carry the document, with `*` for its strings and numbers. @default false */
  readonly document?: boolean;
  /**
   * Whether spans are named `query Users` instead of `query`. Clients choose these names: the first 500 different ones count.
   * @default true
   */
  readonly operationNames?: boolean;
}

/** Options of {@link TracingModule.forRoot}; every field is optional. Code wins over environment variables, these over defaults. @publicApi */
export interface TracingOptions {
  /** `false` makes no span and registers nothing; `OTEL_SDK_DISABLED=true` does the same and wins over code. @default true */
  readonly enabled?: boolean;
  /** `service.name`. @default `OTEL_SERVICE_NAME`, else the name in the nearest package.json */
  readonly serviceName?: string;
  /** `service.version`. @default the version in the nearest package.json */
  readonly serviceVersion?: string;
  /** Further resource attributes; they win over `OTEL_RESOURCE_ATTRIBUTES`. @default {} */
  readonly resource?: Attributes;
  /**
   * Where spans go: a name, an exporter instance, or a list of them.
   * @default 'auto': `OTEL_TRACES_EXPORTER` where set; else `otlp` where an OTLP endpoint is configured or `NODE_ENV` is
   * `production`; `none` where `NODE_ENV` is `test`; else `waterfall`
   */
  readonly exporter?: ExporterName | SpanExporter | readonly (ExporterName | SpanExporter)[];
  /** Further span processors, called before the exporters. @default [] */
  readonly spanProcessors?: readonly SpanProcessor[];
  /** A ratio of root traces from 0 to 1 (parent-based), or a Sampler. @default `OTEL_TRACES_SAMPLER`, else parent-based, always on */
  readonly sampler?: number | Sampler;
  /** Header formats, by name or as instances; an empty list or `['none']` switches them off. @default `OTEL_PROPAGATORS`, else `['tracecontext', 'baggage', 'b3']` */
  readonly propagators?: readonly (PropagatorName | TextMapPropagator)[];
  /** A provider that you built; it is used as it is and not shut down. @default the one registered globally, else one built from these options */
  readonly tracerProvider?: TracerProvider;
  /** Requests that come in. */
  readonly inbound?: InboundOptions;
  /** Calls that go out. */
  readonly outbound?: OutboundOptions;
  /** GraphQL operations, resolvers and fields. */
  readonly graphql?: GraphqlOptions;
  /**
   * Whether the start of the application is a trace: `application start`, with a span for making the providers, one for each hook
   * (`onModuleInit`, `onApplicationBootstrap`), and one for listening. @default false
   */
  readonly startUp?: boolean;
  /** Whether lines of Nest's ConsoleLogger carry `trace_id` and `span_id` inside a span. @default false */
  readonly logs?: boolean;
  /** Whether traces are shown in the browser, those of other local services included; see {@link ViewerOptions}. @default false */
  readonly viewer?: boolean | ViewerOptions;
  /** How long `app.close()` waits for spans to be delivered. @default 5000 */
  readonly shutdownTimeoutMs?: number;
}
