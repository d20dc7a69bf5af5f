/** Defines each option with its check and default in one table, and resolves the options by it. */
import type { TextMapPropagator } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import {
  attributes,
  callback,
  classOf,
  type Definitions,
  flag,
  flagOrCallback,
  flagOrHeader,
  group,
  headerNames,
  instanceOf,
  isInstance,
  listOf,
  numberBetween,
  oneOf,
  oneOrMore,
  option,
  optionalGroup,
  pathsOf,
  queryKey,
  ratioOrSampler,
  refuse,
  resolveAll,
  type Surroundings,
  switchableGroup,
  text,
  type Values,
  wholeNumberBetween,
} from './checks.js';
import { readFlag, readList, readNames, readText } from './environment.js';
import { destinationRules, hostRules, pathRules, queryRules, urlRules } from './ignore-rules.js';
import type { GraphqlOptions } from './graphql-options.js';
import { methodRules } from './method-rules.js';
import type { MethodsOptions } from './methods-options.js';
import { messages } from './messages.js';
import { CAPTURE, withoutSecret } from './resolved-capture.js';
import { budget, FOLD, KEEP, keepHeader } from './resolved-retention.js';
import type {
  DatabaseOptions,
  ExporterName,
  InboundOptions,
  OutboundOptions,
  PropagatorName,
  TracingOptions,
  ViewerOptions,
} from './tracing-options.js';
import { reportTrouble } from './trouble.js';

/** HTTP methods that spans show by name. `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` replaces the list. It is case-sensitive. */
const KNOWN_METHODS: readonly string[] = ['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'];

const SENSITIVE_QUERY_KEYS: readonly string[] = [
  'X-Amz-Signature',
  'X-Amz-Credential',
  'X-Amz-Security-Token',
  'AWSAccessKeyId',
  'Signature',
  'sig',
  'X-Goog-Signature',
];

const DEFAULT_PROPAGATORS: readonly PropagatorName[] = ['tracecontext', 'baggage', 'b3'];

const INBOUND = {
  ignore: option(pathRules, []),
  trust: option(flagOrCallback, true),
  ignoreMessages: option(destinationRules, []),
  messageOrigin: option(oneOf('parent', 'link'), 'parent'),
  eventOrigin: option(oneOf('parent', 'link'), 'parent'),
  captureRequestHeaders: option(headerNames, []),
  captureResponseHeaders: option(headerNames, []),
  redactQueryKeys: option(listOf('query keys', queryKey), SENSITIVE_QUERY_KEYS),
  trustForwardedHeaders: option(flag, true),
  responseHeader: option(flagOrHeader('x-trace-id'), false),
  captureOnFailure: optionalGroup(CAPTURE),
  keepHeader: option(keepHeader),
  onRequest: option(callback),
  onResponse: option(callback),
} satisfies Definitions<InboundOptions>;

const OUTBOUND = {
  ignore: option(urlRules, []),
  ignoreMessages: option(destinationRules, []),
  propagateTo: option(hostRules),
  captureRequestHeaders: option(headerNames, []),
  captureResponseHeaders: option(headerNames, []),
  redactQueryKeys: option(listOf('query keys', queryKey), SENSITIVE_QUERY_KEYS),
  fetch: option(flag, true),
  http: option(flag, true),
  onRequest: option(callback),
  onResponse: option(callback),
} satisfies Definitions<OutboundOptions>;

const GRAPHQL = {
  operations: option(flag, false),
  resolvers: option(flag, false),
  fields: option(flag, false),
  document: option(flag, false),
  operationNames: option(flag, true),
  subscriptionEvents: option(oneOf('link', 'parent'), 'link'),
} satisfies Definitions<GraphqlOptions>;

const DATABASES = {
  ignore: option(queryRules, []),
  queryText: option(flag, true),
  captureParameters: option(flag, false),
} satisfies Definitions<DatabaseOptions>;

const METHODS = {
  of: option(methodRules),
  not: option(methodRules, []),
  steps: option(flag, true),
  fields: option(flag, false),
  countBelowMs: option(numberBetween(0, 60_000), 0.1),
} satisfies Definitions<MethodsOptions>;

/** The default of `viewer.port`. @internal */
export const DEFAULT_PORT = 4318;
/** The default of `maxMemoryMb`. @internal */
export const DEFAULT_MEMORY_MB = 32;

const VIEWER = {
  port: option(wholeNumberBetween(1, 65_535), DEFAULT_PORT),
  maxMemoryMb: option(numberBetween(1, 4096), DEFAULT_MEMORY_MB),
  inProduction: option(flag, false),
  inTest: option(flag, false),
} satisfies Definitions<ViewerOptions>;

/** Options of the built-in provider. They have no effect if another provider is used. */
const OF_THE_PROVIDER = {
  serviceName: option(text),
  serviceVersion: option(text),
  resource: option(attributes, {}),
  exporter: option(exporters, 'auto'),
  spanProcessors: option(listOf('span processors', instanceOf('onStart', 'onEnd', 'forceFlush', 'shutdown')), []),
  meterProvider: option(instanceOf('getMeter')),
  // No default here, because the environment may choose a sampler that is not a ratio.
  sampler: option(ratioOrSampler),
  keep: switchableGroup(KEEP),
  fold: switchableGroup(FOLD),
  budget: option(budget, 1000),
  viewer: switchableGroup(VIEWER),
} satisfies Partial<Definitions<TracingOptions>>;

/** All options. @internal */
export const OPTIONS = {
  enabled: option(enabled, true),
  ...OF_THE_PROVIDER,
  propagators: option(propagators, DEFAULT_PROPAGATORS, propagatorsInEnvironment),
  tracerProvider: option(instanceOf('getTracer')),
  instrumentations: option(listOf('instrumentations', instanceOf('setTracerProvider', 'enable', 'disable')), []),
  inbound: group(INBOUND),
  outbound: group(OUTBOUND),
  graphql: group(GRAPHQL),
  databases: switchableGroup(DATABASES, true),
  methods: switchableGroup(METHODS),
  startUp: option(flag, false),
  logs: option(flag, false),
  shutdownTimeoutMs: option(numberBetween(0, 2 ** 31 - 1), 5000),
} satisfies Definitions<TracingOptions>;

const PATHS = pathsOf(OPTIONS);

interface HttpMethods {
  /** HTTP methods that spans show by name. All others become `_OTHER`. */
  readonly knownMethods: ReadonlySet<string>;
}

/** {@link InboundOptions} with every default filled in. @internal */
export interface ResolvedInboundOptions extends Values<typeof INBOUND>, HttpMethods {}

/** {@link OutboundOptions} with every default filled in. If `propagateTo` is undefined, every host receives trace headers. @internal */
export interface ResolvedOutboundOptions extends Values<typeof OUTBOUND>, HttpMethods {}

/** {@link GraphqlOptions} with every default filled in. @internal */
export type ResolvedGraphqlOptions = Values<typeof GRAPHQL>;

/** {@link DatabaseOptions} with every default filled in. @internal */
export type ResolvedDatabaseOptions = Values<typeof DATABASES>;

/** {@link MethodsOptions} with every default filled in. If `of` is undefined, methods of the application's own providers are traced. @internal */
export type ResolvedMethodsOptions = Values<typeof METHODS>;

/** The name of an exporter to create, or an instance. @internal */
export type ChosenExporter = Exclude<ExporterName, 'auto' | 'none'> | SpanExporter;

/** {@link ViewerOptions} of a running viewer. @internal */
export interface ResolvedViewerOptions {
  readonly port: number;
  readonly maxBytes: number;
}

/** {@link TracingOptions} with every default filled in. @internal */
export interface ResolvedTracingOptions extends Omit<Values<typeof OPTIONS>, 'exporter' | 'inbound' | 'outbound' | 'viewer'> {
  readonly exporters: readonly ChosenExporter[];
  readonly inbound: ResolvedInboundOptions;
  readonly outbound: ResolvedOutboundOptions;
  /** Undefined if there is no viewer. */
  readonly viewer: ResolvedViewerOptions | undefined;
  /** True if code sets the propagators. If not, the propagators of an adopted SDK are used. */
  readonly propagatorsInCode: boolean;
  /** The options in code that have no effect if another provider is used. */
  readonly pipelineOptionsInCode: readonly string[];
}

/** Resolves the options. A mistake in code throws. A mistake in the environment is logged, and the default is used. @internal */
export function resolveOptions(given: TracingOptions = {}, env: NodeJS.ProcessEnv = process.env): ResolvedTracingOptions {
  const surroundings = { env, paths: PATHS };
  const { exporter, inbound, outbound, viewer, ...others } = resolveAll(OPTIONS, '', given, surroundings);
  const ofTheProvider = Object.keys(OF_THE_PROVIDER) as (keyof typeof OF_THE_PROVIDER)[];
  const knownMethods = new Set(readList(env, 'OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS') ?? KNOWN_METHODS);
  return {
    ...others,
    exporters: exporter,
    // Methods of providers make many similar spans.
    fold: given.fold === undefined && others.methods !== undefined ? resolveAll(FOLD, 'fold', {}, surroundings) : others.fold,
    inbound: { ...withoutSecret(inbound), knownMethods },
    outbound: { ...outbound, knownMethods },
    viewer: viewer === undefined ? undefined : runningViewer(viewer, env),
    propagatorsInCode: given.propagators !== undefined,
    pipelineOptionsInCode: ofTheProvider.filter(name => given[name] !== undefined && given[name] !== false),
  };
}

/** `OTEL_SDK_DISABLED` wins over code. */
function enabled(path: string, given: boolean, { env }: Surroundings): boolean {
  return flag(path, given) && !readFlag(env, 'OTEL_SDK_DISABLED');
}

/** With `NODE_ENV` `production` or `test`, the viewer runs only if its options allow it. */
function runningViewer(viewer: Values<typeof VIEWER>, env: NodeJS.ProcessEnv): ResolvedViewerOptions | undefined {
  const { port, maxMemoryMb, inProduction, inTest } = viewer;
  if (env.NODE_ENV === 'production' && !inProduction) {
    reportTrouble('viewer:production', messages.viewerOffInProduction());
    return undefined;
  }
  // No message here: each spec file would log it.
  if (env.NODE_ENV === 'test' && !inTest) return undefined;
  return { port, maxBytes: maxMemoryMb * 1_000_000 };
}

const EXPORTERS_IN_ENVIRONMENT = ['otlp', 'zipkin', 'console', 'waterfall', 'none'] as const satisfies readonly ExporterName[];
const EXPORTERS: readonly string[] = ['auto', ...EXPORTERS_IN_ENVIRONMENT];

/** Returns the exporters of the option `exporter` without duplicates. `none` gives an empty list. */
function exporters(path: string, given: NonNullable<TracingOptions['exporter']>, { env }: Surroundings): readonly ChosenExporter[] {
  const asked = oneOrMore(path, given, exporter);
  if (asked.includes('none') && asked.length > 1) refuse(path, asked.map(label).join(', '), '"none" alone, or exporters without "none"');
  const chosen = asked.flatMap(one => (one === 'auto' ? exportersInEnvironment(env) : one));
  return [...new Set(chosen)].filter(one => one !== 'none');
}

function exporter(path: string, value: unknown): ExporterName | SpanExporter {
  if (EXPORTERS.includes(value as string)) return value as ExporterName;
  if (isInstance(value, ['export', 'shutdown'])) return value as SpanExporter;
  const expected = `one of ${EXPORTERS.join(', ')}, or an exporter with export() and shutdown()`;
  return refuse(path, value, value === 'jaeger' ? `${expected}. ${messages.jaegerTakesOtlp()}` : expected, EXPORTERS);
}

function exportersInEnvironment(env: NodeJS.ProcessEnv): readonly Exclude<ExporterName, 'auto'>[] {
  const fallback = exporterByDefault(env);
  const hints = { jaeger: messages.jaegerTakesOtlp() };
  return readNames(env, 'OTEL_TRACES_EXPORTER', EXPORTERS_IN_ENVIRONMENT, `"${fallback}"`, hints) ?? [fallback];
}

function exporterByDefault(env: NodeJS.ProcessEnv): Exclude<ExporterName, 'auto'> {
  const endpoint = readText(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? readText(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint !== undefined || env.NODE_ENV === 'production') return 'otlp';
  return env.NODE_ENV === 'test' ? 'none' : 'waterfall';
}

function label(one: ExporterName | SpanExporter): string {
  return typeof one === 'string' ? one : classOf(one);
}

const PROPAGATORS = ['tracecontext', 'baggage', 'b3', 'b3multi', 'none'] as const satisfies readonly PropagatorName[];

type Propagators = readonly (PropagatorName | TextMapPropagator)[];

/** Returns the header formats of the option `propagators` without duplicates. `none` gives an empty list. */
function propagators(path: string, given: Propagators): Propagators {
  const asked = listOf('names and propagators', propagator)(path, given);
  if (asked.includes('none') && asked.length > 1) refuse(path, 'none', '"none" alone in the list, or a list without "none"');
  return [...new Set(asked)].filter(one => one !== 'none');
}

/** Reads `OTEL_PROPAGATORS`. */
function propagatorsInEnvironment(env: NodeJS.ProcessEnv): Propagators | undefined {
  const fallback = `"${DEFAULT_PROPAGATORS.join(',')}"`;
  return readNames(env, 'OTEL_PROPAGATORS', PROPAGATORS, fallback, { jaeger: messages.jaegerReadsW3c() });
}

function propagator(path: string, value: unknown): PropagatorName | TextMapPropagator {
  if ((PROPAGATORS as readonly unknown[]).includes(value)) return value as PropagatorName;
  if (isInstance(value, ['inject', 'extract', 'fields'])) return value as TextMapPropagator;
  return refuse(path, value, `one of ${PROPAGATORS.join(', ')}, or a propagator with inject(), extract() and fields()`, PROPAGATORS);
}
