/** The public names of the entry point `nestjs-tracing/viewer`. */
export { WaterfallExporter } from './waterfall.exporter.js';
export type { WaterfallExportResult, WaterfallOptions } from './waterfall.exporter.js';
export type { FinishedSpan, FinishedSpanEvent } from './model/trace-span.js';
