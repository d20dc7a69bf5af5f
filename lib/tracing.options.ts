/** What users can set: the options, their defaults, their environment variables and the check that refuses bad values. */
import type { Attributes, Span, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import { KNOWN_METHODS, SENSITIVE_QUERY_KEYS } from './conventions/http.js';
import { type ChosenExporter, chooseExporters, type ExporterName } from './pipeline/exporter-choice.js';
import type { Sampler, SpanExporter, SpanProcessor } from './pipeline/sdk.js';
import { choosePropagators, type PropagatorName } from './propagation/propagator-choice.js';
import {
  attributes,
  callback,
  flag,
  headerName,
  headerNames,
  instance,
  list,
  number,
  objectOf,
  ratioOr,
  rules,
  text,
} from './tracing.checks.js';
import { type ResolvedViewerOptions, resolveViewer, type ViewerOptions } from './viewer/viewer-options.js';
import { readFlag, readList } from './tracing.environment.js';

export type { ExporterName } from './pipeline/exporter-choice.js';
export type { PropagatorName } from './propagation/propagator-choice.js';

/** The parts of an incoming HTTP request that rules and hooks may rely on, on every adapter. @publicApi */
export interface InboundRequest {
  readonly method?: string;
  /** Path and query as they came in. */
  readonly url?: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
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
  /** Whether lines of Nest's ConsoleLogger carry `trace_id` and `span_id` inside a span. @default false */
  readonly logs?: boolean;
  /** Whether traces are shown in the browser, those of other local services included; see {@link ViewerOptions}. @default false */
  readonly viewer?: boolean | ViewerOptions;
  /** How long `app.close()` waits for spans to be delivered. @default 5000 */
  readonly shutdownTimeoutMs?: number;
}

/** {@link InboundOptions} with every default filled in. @internal */
export interface ResolvedInboundOptions {
  readonly ignore: readonly IgnoreRule<InboundRequest>[];
  readonly trust: boolean | ((request: InboundRequest) => boolean);
  /** Lower case. */
  readonly captureRequestHeaders: readonly string[];
  readonly captureResponseHeaders: readonly string[];
  readonly redactQueryKeys: readonly string[];
  readonly knownMethods: ReadonlySet<string>;
  readonly trustForwardedHeaders: boolean;
  /** Lower-case name, or `undefined` for none. */
  readonly responseHeader: string | undefined;
  readonly onRequest: InboundOptions['onRequest'];
  readonly onResponse: InboundOptions['onResponse'];
}

/** {@link OutboundOptions} with every default filled in. @internal */
export interface ResolvedOutboundOptions {
  readonly ignore: readonly IgnoreRule<OutboundRequest>[];
  /** `undefined`: everywhere. */
  readonly propagateTo: readonly IgnoreRule<OutboundRequest>[] | undefined;
  /** Lower case. */
  readonly captureRequestHeaders: readonly string[];
  readonly captureResponseHeaders: readonly string[];
  readonly redactQueryKeys: readonly string[];
  readonly knownMethods: ReadonlySet<string>;
  readonly fetch: boolean;
  readonly onRequest: OutboundOptions['onRequest'];
  readonly onResponse: OutboundOptions['onResponse'];
}

/** {@link TracingOptions} after code, environment and defaults have been merged and checked. @internal */
export interface ResolvedTracingOptions {
  readonly enabled: boolean;
  /** `undefined` leaves it to the environment and package.json (pipeline/resource). */
  readonly serviceName: string | undefined;
  readonly serviceVersion: string | undefined;
  readonly resource: Attributes;
  /** Never `auto` or `none`: the environment has been asked, and no exporter is an empty list. */
  readonly exporters: readonly ChosenExporter[];
  readonly spanProcessors: readonly SpanProcessor[];
  /** `undefined`: the environment's, else parent-based, always on. */
  readonly sampler: number | Sampler | undefined;
  readonly propagators: readonly (PropagatorName | TextMapPropagator)[];
  /** Whether the user named propagators in code; if not, those of an adopted SDK stay in force. */
  readonly propagatorsInCode: boolean;
  /** Names of options set in code that an adopted provider makes void. */
  readonly pipelineOptionsInCode: readonly string[];
  readonly tracerProvider: TracerProvider | undefined;
  readonly inbound: ResolvedInboundOptions;
  readonly outbound: ResolvedOutboundOptions;
  readonly logs: boolean;
  /** `undefined` without viewer. */
  readonly viewer: ResolvedViewerOptions | undefined;
  readonly shutdownTimeoutMs: number;
}

const OPTIONS = [
  'enabled',
  'serviceName',
  'serviceVersion',
  'resource',
  'exporter',
  'spanProcessors',
  'sampler',
  'propagators',
  'tracerProvider',
  'inbound',
  'outbound',
  'logs',
  'viewer',
  'shutdownTimeoutMs',
] as const satisfies readonly (keyof TracingOptions)[];
const OF_THE_PIPELINE = ['serviceName', 'serviceVersion', 'resource', 'exporter', 'spanProcessors', 'sampler', 'viewer'] as const;
const INBOUND = [
  'ignore',
  'trust',
  'captureRequestHeaders',
  'captureResponseHeaders',
  'redactQueryKeys',
  'trustForwardedHeaders',
  'responseHeader',
  'onRequest',
  'onResponse',
] as const satisfies readonly (keyof InboundOptions)[];
const OUTBOUND = [
  'ignore',
  'propagateTo',
  'captureRequestHeaders',
  'captureResponseHeaders',
  'redactQueryKeys',
  'fetch',
  'onRequest',
  'onResponse',
] as const satisfies readonly (keyof OutboundOptions)[];

/** Merges code, environment and defaults; throws on what is wrong in code, warns about what is wrong in the environment. @internal */
export function resolveOptions(given: TracingOptions = {}, env: NodeJS.ProcessEnv = process.env): ResolvedTracingOptions {
  const options = objectOf('', given, OPTIONS);
  return {
    enabled: flag('enabled', options.enabled, true) && !readFlag(env, 'OTEL_SDK_DISABLED'),
    serviceName: options.serviceName === undefined ? undefined : text('serviceName', options.serviceName),
    serviceVersion: options.serviceVersion === undefined ? undefined : text('serviceVersion', options.serviceVersion),
    resource: attributes('resource', options.resource),
    exporters: chooseExporters(options.exporter, env),
    spanProcessors: list('spanProcessors', options.spanProcessors, 'span processors', (path, item) =>
      instance(path, item as SpanProcessor, ['onStart', 'onEnd', 'forceFlush', 'shutdown']),
    ),
    sampler: options.sampler === undefined ? undefined : ratioOr('sampler', options.sampler, ['shouldSample'], 'a Sampler'),
    propagators: choosePropagators(options.propagators, env),
    propagatorsInCode: options.propagators !== undefined,
    pipelineOptionsInCode: OF_THE_PIPELINE.filter(name => options[name] !== undefined && options[name] !== false),
    tracerProvider: options.tracerProvider === undefined ? undefined : instance('tracerProvider', options.tracerProvider, ['getTracer']),
    inbound: resolveInbound(options.inbound, env),
    outbound: resolveOutbound(options.outbound, env),
    logs: flag('logs', options.logs, false),
    viewer: resolveViewer(options.viewer, env),
    shutdownTimeoutMs: number('shutdownTimeoutMs', options.shutdownTimeoutMs ?? 5000, 0, 2 ** 31 - 1),
  };
}

function resolveInbound(given: InboundOptions | undefined, env: NodeJS.ProcessEnv): ResolvedInboundOptions {
  const inbound = objectOf('inbound', given, INBOUND);
  const { trust, responseHeader } = inbound;
  const named = typeof responseHeader === 'string' ? headerName('inbound.responseHeader', responseHeader) : undefined;
  const isSent = named !== undefined || flag('inbound.responseHeader', responseHeader, false, 'true, false or the name of a header');
  return {
    ignore: rules<IgnoreRule<InboundRequest>>('inbound.ignore', inbound.ignore, /^[/*]/, 'a path that starts with "/"'),
    trust: typeof trust === 'function' ? trust : flag('inbound.trust', trust, true, 'true, false or a function'),
    ...headersAndQuery('inbound', inbound, env),
    trustForwardedHeaders: flag('inbound.trustForwardedHeaders', inbound.trustForwardedHeaders, true),
    responseHeader: isSent ? (named ?? 'x-trace-id') : undefined,
    onRequest: callback('inbound.onRequest', inbound.onRequest),
    onResponse: callback('inbound.onResponse', inbound.onResponse),
  };
}

function resolveOutbound(given: OutboundOptions | undefined, env: NodeJS.ProcessEnv): ResolvedOutboundOptions {
  const outbound = objectOf('outbound', given, OUTBOUND);
  const { ignore, propagateTo } = outbound;
  return {
    ignore: rules<IgnoreRule<OutboundRequest>>('outbound.ignore', ignore, /^(\*$|https?:\/\/)/, 'a URL that starts with "http"'),
    propagateTo:
      propagateTo === undefined
        ? undefined
        : rules<IgnoreRule<OutboundRequest>>('outbound.propagateTo', propagateTo, /^[^/\s]+$/, '"host", "host:port" or "*.domain"'),
    ...headersAndQuery('outbound', outbound, env),
    fetch: flag('outbound.fetch', outbound.fetch, true),
    onRequest: callback('outbound.onRequest', outbound.onRequest),
    onResponse: callback('outbound.onResponse', outbound.onResponse),
  };
}

function headersAndQuery(side: string, given: InboundOptions | OutboundOptions, env: NodeJS.ProcessEnv) {
  const { captureRequestHeaders, captureResponseHeaders, redactQueryKeys } = given;
  return {
    captureRequestHeaders: headerNames(`${side}.captureRequestHeaders`, captureRequestHeaders),
    captureResponseHeaders: headerNames(`${side}.captureResponseHeaders`, captureResponseHeaders),
    redactQueryKeys:
      redactQueryKeys === undefined ? SENSITIVE_QUERY_KEYS : list(`${side}.redactQueryKeys`, redactQueryKeys, 'query keys', text),
    // Case counts in methods: the variable replaces the list as it is.
    knownMethods: new Set(readList(env, 'OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS') ?? KNOWN_METHODS),
  };
}
