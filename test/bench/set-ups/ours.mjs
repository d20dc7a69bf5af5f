/** This library, as built into dist/, with the options a variant names. */
import { droppingExporter } from '../app/dropping.exporter.mjs';

/** `hasSpan`: `@Span()` on the service's method; `exporter: 'configured'`: what environment and defaults say. */
export async function setUp({ hasSpan = false, exporter = droppingExporter, ...options }) {
  const { Span, TracingModule } = await import('nestjs-tracing');
  return {
    imports: [TracingModule.forRoot({ ...options, exporter: exporter === 'configured' ? undefined : exporter })],
    Span: hasSpan ? Span : undefined,
  };
}
