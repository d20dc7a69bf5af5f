/** This library, as built into dist/, with the options a variant names. */
import { droppingExporter } from '../app/dropping.exporter.mjs';

/**
 * `hasSpan`: `@Span()` on the service's method; `exporter: 'configured'`: what environment and defaults say, `'sent'`: OTLP to a server that
 * reads nothing; `build`: where another dist/ is.
 */
export async function setUp({ hasSpan = false, exporter = droppingExporter, build, ...options }) {
  if (exporter === 'sent') process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${process.env['BENCH_DOWNSTREAM']}`;
  const { Span, TracingModule } = await import(build === undefined ? 'nestjs-tracing' : `${build}esm/index.js`);
  return {
    imports: [TracingModule.forRoot({ ...options, exporter: typeof exporter === 'string' ? undefined : exporter })],
    Span: hasSpan ? Span : undefined,
  };
}
