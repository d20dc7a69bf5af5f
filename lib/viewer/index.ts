/** What the entry point `nestjs-tracing/viewer` offers: spans become something to look at. */
export { WaterfallExporter } from './waterfall.exporter.js';
export type { WaterfallExportResult, WaterfallOptions } from './waterfall.exporter.js';
export type { FinishedSpan, FinishedSpanEvent } from './model/trace-span.js';
