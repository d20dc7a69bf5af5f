/** The exporter that prints traces to the terminal: one block for each finished request, message or job. */
import { Console } from 'node:console';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { callsOut, descendants, groupByParent, type SpansByParent } from './descendants.js';
import { LocalRoots } from './local-roots.js';
import { type FinishedSpan, toTraceSpan, type TraceSpan } from './model/trace-span.js';
import { buildTraceTrees } from './model/trace-tree.js';
import { ASCII, COLOURED, UNCOLOURED, UNICODE, wantsColour } from './terminal-style.js';
import { drawWaterfall, type WaterfallLayout } from './waterfall.js';

/** Options of {@link WaterfallExporter}; every field is optional. @publicApi */
export interface WaterfallOptions {
  /** The stream to which the blocks are written. @default process.stdout */
  readonly stream?: Writable;
  /** Characters in a line. @default the width of the terminal, or 80 if the stream is no terminal */
  readonly columns?: number;
  /** Whether the blocks are coloured. @default true on a terminal, unless `FORCE_COLOR` or `NO_COLOR` is set */
  readonly colour?: boolean;
  /** Whether only ASCII characters are used. @default false */
  readonly ascii?: boolean;
  /** The most rows in a block. A last line says how many more there are. @default 100 */
  readonly maxRows?: number;
  /** A block whose local root took less time is not printed. @default 0 */
  readonly minDurationMs?: number;
  /** Whether only blocks with a failed span are printed. @default false */
  readonly onlyErrors?: boolean;
}

/** A viewer, which also has the spans of other services. @internal */
export interface TraceViewer {
  /** The URL of a trace without the trace id at its end; `undefined` while no viewer can be reached. */
  readonly traceUrlPrefix: string | undefined;
  /** Resolves with the spans that the viewer has of a trace; with none if it does not answer in time. Never rejects. */
  spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]>;
}

/** The result of an export, as OpenTelemetry's `ExportResult`: the code `0` is success. @publicApi */
export interface WaterfallExportResult {
  code: number;
  error?: Error;
}

const LIMITS = { maxSpans: 10_000, maxAgeMs: 60_000 };
/** Late spans wait for this time, so that those of one request are printed as one block. */
const LATE_MS = 200;
/** A block waits for this time for the spans of other services, and then as long for the answer of the viewer. */
const OTHER_SERVICES_MS = 150;

/**
 * A span exporter that draws each finished local root (a request, a message, a job) and all spans below it as a waterfall. A span that
 * ends after its local root is drawn in another block. Spans whose local root is in flight are kept for a minute, at most 10,000 of them.
 *
 * @example TracingModule.forRoot({ exporter: new WaterfallExporter({ ascii: true }) })
 * @publicApi
 */
export class WaterfallExporter {
  private readonly console: Console;
  private readonly stream: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  private readonly roots = new LocalRoots(LIMITS);
  private lateTimer: NodeJS.Timeout | undefined;
  private viewer: TraceViewer | undefined;
  /** Trees that wait for the spans of other services, by the timer that ends the wait. */
  private readonly waiting = new Map<NodeJS.Timeout, readonly FinishedSpan[][]>();

  constructor(private readonly options: WaterfallOptions = {}) {
    this.stream = options.stream ?? process.stdout;
    // A console ignores a closed pipe. A plain write to it would cause an uncaught error.
    this.console = new Console({ stdout: this.stream, ignoreErrors: true, colorMode: false });
  }

  /** Draws the local roots among `spans`, and keeps the other spans until their local root ends. Never throws. */
  export(spans: readonly FinishedSpan[], done: (result: WaterfallExportResult) => void): void {
    let result: WaterfallExportResult = { code: 0 };
    try {
      this.drawWithOtherServices(this.roots.add(spans, Date.now()));
      if (this.roots.hasLate) this.lateTimer ??= setTimeout(() => this.drawLate(), LATE_MS).unref();
    } catch (error) {
      result = { code: 1, error: error instanceof Error ? error : new Error(String(error)) };
    }
    done(result);
  }

  /** From now on, blocks show the spans of other services and a link to the viewer. @internal */
  showWith(viewer: TraceViewer): void {
    this.viewer = viewer;
  }

  /** Draws all trees that wait for other services, and the late spans. */
  forceFlush(): Promise<void> {
    for (const [timer, trees] of this.waiting) {
      clearTimeout(timer);
      this.drawGuarded(
        trees.map(tree => tree.map(toTraceSpan)),
        '',
      );
    }
    this.waiting.clear();
    this.drawLate();
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return this.forceFlush();
  }

  private drawLate(): void {
    clearTimeout(this.lateTimer);
    this.lateTimer = undefined;
    this.drawGuarded(
      this.roots.takeLate().map(tree => tree.map(toTraceSpan)),
      'ended after its request',
    );
  }

  /** Draws a tree at once if it calls no other service. */
  private drawWithOtherServices(trees: FinishedSpan[][]): void {
    const { viewer } = this;
    const callingTrees = viewer?.traceUrlPrefix === undefined ? [] : trees.filter(callsOut);
    this.draw(
      trees.filter(tree => !callingTrees.includes(tree)).map(tree => tree.map(toTraceSpan)),
      '',
    );
    if (viewer === undefined || callingTrees.length === 0) return;
    const timer = setTimeout(() => {
      this.waiting.delete(timer);
      // The viewer is asked once for each trace: a batch may end with a thousand local roots of one trace.
      const answers = new Map<string, Promise<SpansByParent>>();
      const withOthers = callingTrees.map(async tree => {
        const own = tree.map(toTraceSpan);
        const traceId = own[0]?.traceId ?? '';
        const answer = answers.get(traceId) ?? viewer.spansOf(traceId, OTHER_SERVICES_MS).then(groupByParent);
        answers.set(traceId, answer);
        return [...own, ...descendants(own, await answer)];
      });
      void Promise.all(withOthers).then(trees => this.drawGuarded(trees, ''));
    }, OTHER_SERVICES_MS).unref();
    this.waiting.set(timer, callingTrees);
  }

  /** Draws without an error: a stream that cannot be written must not affect the application. */
  private drawGuarded(trees: readonly (readonly TraceSpan[])[], remark: string): void {
    try {
      this.draw(trees, remark);
    } catch {
      // There is no export() that could report it.
    }
  }

  /** Writes all blocks at once, so that no other output comes between their lines. */
  private draw(trees: readonly (readonly TraceSpan[])[], remark: string): void {
    const traces = trees.filter(tree => this.isWanted(tree)).flatMap(tree => buildTraceTrees(tree));
    if (traces.length === 0) return;
    const layout = this.layout();
    const prefix = this.viewer?.traceUrlPrefix;
    const blocks = traces.map(trace => drawWaterfall(trace, layout, remark, prefix && prefix + trace.traceId));
    // console.log() adds the last line break.
    this.console.log(blocks.join('').slice(0, -1));
  }

  private isWanted(tree: readonly TraceSpan[]): boolean {
    const { minDurationMs = 0, onlyErrors = false } = this.options;
    if (onlyErrors && !tree.some(({ status }) => status === 'error')) return false;
    const [root] = tree;
    return root !== undefined && Number(root.endNs - root.startNs) >= minDurationMs * 1e6;
  }

  /** Is read again for each block: a terminal can be resized. */
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
