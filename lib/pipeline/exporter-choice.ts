/** Decides where spans go: what the option says, what `auto` means in this environment. */
import { classOf, hasMethods, oneOrMore, refuse } from '../tracing.checks.js';
import { readNames, readText } from '../tracing.environment.js';
import { messages } from '../tracing.messages.js';
import type { SpanExporter } from './sdk.js';

/** An exporter by name; `auto` follows the environment (see {@link TracingOptions.exporter}). @publicApi */
export type ExporterName = 'auto' | 'otlp' | 'waterfall' | 'console' | 'zipkin' | 'none';

/** An exporter that is to be made, or one that exists. @internal */
export type ChosenExporter = Exclude<ExporterName, 'auto' | 'none'> | SpanExporter;

const IN_ENVIRONMENT = ['otlp', 'zipkin', 'console', 'waterfall', 'none'] as const satisfies readonly ExporterName[];
const NAMES: readonly string[] = ['auto', ...IN_ENVIRONMENT];

/** The exporters of the option `exporter`, each name once; none at all is an empty list. @internal */
export function chooseExporters(given: unknown, env: NodeJS.ProcessEnv): readonly ChosenExporter[] {
  const asked = given === undefined ? (['auto'] as const) : oneOrMore('exporter', given, exporter);
  if (asked.includes('none') && asked.length > 1)
    refuse('exporter', asked.map(label).join(', '), '"none" alone, or exporters without "none"');
  const chosen = asked.flatMap(one => (one === 'auto' ? fromEnvironment(env) : one));
  return [...new Set(chosen)].filter(one => one !== 'none');
}

function exporter(path: string, value: unknown): ExporterName | SpanExporter {
  if (NAMES.includes(value as string)) return value as ExporterName;
  if (hasMethods(value, ['export', 'shutdown'])) return value as SpanExporter;
  const expected = `one of ${NAMES.join(', ')}, or an exporter with export() and shutdown()`;
  return refuse(path, value, value === 'jaeger' ? `${expected}. ${messages.jaegerTakesOtlp()}` : expected);
}

function fromEnvironment(env: NodeJS.ProcessEnv): readonly Exclude<ExporterName, 'auto'>[] {
  const named = readNames(env, 'OTEL_TRACES_EXPORTER', IN_ENVIRONMENT, { jaeger: messages.jaegerTakesOtlp() });
  if (named !== undefined) return named;
  const endpoint = readText(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? readText(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint !== undefined || env.NODE_ENV === 'production') return ['otlp'];
  return env.NODE_ENV === 'test' ? ['none'] : ['waterfall'];
}

function label(one: ExporterName | SpanExporter): string {
  return typeof one === 'string' ? one : classOf(one);
}
