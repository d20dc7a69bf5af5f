/** Prints what was traced to the terminal: one block per finished request, message or job, never two at once. */
import { Console } from 'node:console';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { LocalRoots } from './local-roots.js';
import { type FinishedSpan, toTraceSpan } from './model/trace-span.js';
import { buildTraceTrees } from './model/trace-tree.js';
import { ASCII, COLOURED, UNCOLOURED, UNICODE, wantsColour } from './terminal-style.js';
import { drawWaterfall, type WaterfallLayout } from './waterfall.js';

/** Options of {@link WaterfallExporter}; every field is optional. @publicApi */
export interface WaterfallOptions {
  /** Where the blocks are written. @default process.stdout */
  readonly stream?: Writable;
  /** Characters per line. @default the width of the terminal, 80 where there is none */
  readonly columns?: number;
  /** Whether to colour. @default on a terminal; `FORCE_COLOR` and `NO_COLOR` decide otherwise */
  readonly colour?: boolean;
  /** Plain ASCII instead of box drawing and blocks. @default false */
  readonly ascii?: boolean;
  /** Rows per block; what is beyond is counted. @default 100 */
  readonly maxRows?: number;
}

/** What an exporter reports back: OpenTelemetry's `ExportResult`, `0` for success. @publicApi */
export interface WaterfallExportResult {
  code: number;
  error?: Error;
}

const LIMITS = { maxSpans: 10_000, maxAgeMs: 60_000 };
/** How long spans that outlive their request are gathered, so that they come as one block. */
const LATE_MS = 200;

/**
 * A span exporter that draws each finished local root (a request, a message, a job) with everything below it as a waterfall. A span that
 * ends after its root is drawn in a block of its own. Roots that never end cost at most 10,000 spans, for at most a minute.
 *
 * @example TracingModule.forRoot({ exporter: new WaterfallExporter({ ascii: true }) })
 * @publicApi
 */
export class WaterfallExporter {
  private readonly console: Console;
  private readonly stream: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  private readonly roots = new LocalRoots(LIMITS);
  private lateTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: WaterfallOptions = {}) {
    this.stream = options.stream ?? process.stdout;
    // Console survives a closed pipe, which a bare write would turn into an uncaught error.
    this.console = new Console({ stdout: this.stream, ignoreErrors: true, colorMode: false });
  }

  /** Draws the local roots among `spans`; keeps the others until theirs has come. Never throws. */
  export(spans: readonly FinishedSpan[], done: (result: WaterfallExportResult) => void): void {
    let result: WaterfallExportResult = { code: 0 };
    try {
      this.draw(this.roots.add(spans, Date.now()), '');
      if (this.roots.hasLate) this.lateTimer ??= setTimeout(() => this.drawLate(), LATE_MS).unref();
    } catch (error) {
      result = { code: 1, error: error instanceof Error ? error : new Error(String(error)) };
    }
    done(result);
  }

  /** Draws what has been gathered so far of spans that outlived their request. */
  forceFlush(): Promise<void> {
    this.drawLate();
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return this.forceFlush();
  }

  private drawLate(): void {
    clearTimeout(this.lateTimer);
    this.lateTimer = undefined;
    try {
      this.draw(this.roots.takeLate(), 'ended after its request');
    } catch {
      // A stream that cannot be written to: nothing is owed to the application.
    }
  }

  /** One write for all blocks: nothing can come between their lines. */
  private draw(trees: readonly (readonly FinishedSpan[])[], remark: string): void {
    if (trees.length === 0) return;
    const layout = this.layout();
    const blocks = trees.flatMap(spans => buildTraceTrees(spans.map(toTraceSpan))).map(trace => drawWaterfall(trace, layout, remark));
    // console.log ends the last line itself.
    this.console.log(blocks.join('').slice(0, -1));
  }

  /** Asked anew for each block: terminals are resized. */
  private layout(): WaterfallLayout {
    const { columns, colour, ascii = false, maxRows = 100 } = this.options;
    return {
      // A terminal that does not know its width reports 0.
      columns: columns ?? (this.stream.columns || 80),
      glyphs: ascii ? ASCII : UNICODE,
      paint: (colour ?? wantsColour(this.stream.isTTY === true, process.env)) ? COLOURED : UNCOLOURED,
      maxRows,
      workingDirectory: process.cwd(),
    };
  }
}
