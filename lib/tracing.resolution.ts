/** Options as the rest of the library uses them: code, environment variables and defaults merged, bad values refused. */
import type { Attributes, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import { KNOWN_METHODS, SENSITIVE_QUERY_KEYS } from './conventions/http.js';
import { type ChosenExporter, chooseExporters } from './pipeline/exporter-choice.js';
import type { Sampler, SpanProcessor } from './pipeline/sdk.js';
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
  oneOf,
  ratioOr,
  rules,
  text,
} from './tracing.checks.js';
import { readFlag, readList } from './tracing.environment.js';
import type {
  GraphqlOptions,
  IgnoreRule,
  InboundMessage,
  InboundOptions,
  InboundRequest,
  OutboundMessage,
  OutboundOptions,
  OutboundRequest,
  TracingOptions,
} from './tracing.options.js';
import { type ResolvedViewerOptions, resolveViewer } from './viewer/viewer-options.js';

/** {@link InboundOptions} with every default filled in. @internal */
export interface ResolvedInboundOptions {
  readonly ignore: readonly IgnoreRule<InboundRequest>[];
  readonly trust: boolean | ((request: InboundRequest) => boolean);
  readonly ignoreMessages: readonly IgnoreRule<InboundMessage>[];
  readonly messageOrigin: 'parent' | 'link';
  readonly eventOrigin: 'parent' | 'link';
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
  readonly ignoreMessages: readonly IgnoreRule<OutboundMessage>[];
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

/** {@link GraphqlOptions} with every default filled in. @internal */
export type ResolvedGraphqlOptions = Required<GraphqlOptions>;

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
  readonly graphql: ResolvedGraphqlOptions;
  readonly startUp: boolean;
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
  'graphql',
  'startUp',
  'logs',
  'viewer',
  'shutdownTimeoutMs',
] as const satisfies readonly (keyof TracingOptions)[];
const OF_THE_PIPELINE = ['serviceName', 'serviceVersion', 'resource', 'exporter', 'spanProcessors', 'sampler', 'viewer'] as const;
const INBOUND = [
  'ignore',
  'trust',
  'ignoreMessages',
  'messageOrigin',
  'eventOrigin',
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
  'ignoreMessages',
  'propagateTo',
  'captureRequestHeaders',
  'captureResponseHeaders',
  'redactQueryKeys',
  'fetch',
  'onRequest',
  'onResponse',
] as const satisfies readonly (keyof OutboundOptions)[];
const GRAPHQL = ['operations', 'resolvers', 'fields', 'document', 'operationNames'] as const satisfies readonly (keyof GraphqlOptions)[];

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
    graphql: resolveGraphql(options.graphql),
    startUp: flag('startUp', options.startUp, false),
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
    ignoreMessages: rules<IgnoreRule<InboundMessage>>('inbound.ignoreMessages', inbound.ignoreMessages, /./, 'a destination'),
    messageOrigin: oneOf('inbound.messageOrigin', inbound.messageOrigin ?? 'parent', ['parent', 'link']),
    eventOrigin: oneOf('inbound.eventOrigin', inbound.eventOrigin ?? 'parent', ['parent', 'link']),
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
    ignoreMessages: rules<IgnoreRule<OutboundMessage>>('outbound.ignoreMessages', outbound.ignoreMessages, /./, 'a destination'),
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

function resolveGraphql(given: GraphqlOptions | undefined): ResolvedGraphqlOptions {
  const graphql = objectOf('graphql', given, GRAPHQL);
  return {
    operations: flag('graphql.operations', graphql.operations, false),
    resolvers: flag('graphql.resolvers', graphql.resolvers, false),
    fields: flag('graphql.fields', graphql.fields, false),
    document: flag('graphql.document', graphql.document, false),
    operationNames: flag('graphql.operationNames', graphql.operationNames, true),
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
