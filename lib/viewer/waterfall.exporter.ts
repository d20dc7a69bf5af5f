/** Prints what was traced to the terminal: one block per finished request, message or job, never two at once. */
import { Console } from 'node:console';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { callsOut, type ChildrenOf, childrenOf, descendants } from './descendants.js';
import { LocalRoots } from './local-roots.js';
import { type FinishedSpan, toTraceSpan, type TraceSpan } from './model/trace-span.js';
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
  /** Blocks that took less time are left out. @default 0 */
  readonly minDurationMs?: number;
  /** Whether blocks without a failed span are left out. @default false */
  readonly onlyErrors?: boolean;
}

/** A viewer that also knows the spans of other services. @internal */
export interface TraceViewer {
  /** What a trace id is put behind to get a link; `undefined` where there is nothing behind it just now. */
  readonly traceUrlPrefix: string | undefined;
  /** What it has of a trace so far, nothing where it cannot say in time. Never rejects. */
  spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]>;
}

/** What an exporter reports back: OpenTelemetry's `ExportResult`, `0` for success. @publicApi */
export interface WaterfallExportResult {
  code: number;
  error?: Error;
}

const LIMITS = { maxSpans: 10_000, maxAgeMs: 60_000 };
/** How long spans that outlive their request are gathered, so that they come as one block. */
const LATE_MS = 200;
/** How long other services have to finish their part, and the viewer to tell of it. */
const OTHERS_MS = 150;

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
  private viewer: TraceViewer | undefined;
  /** Trees that other services may have a part in. */
  private readonly waiting = new Map<NodeJS.Timeout, readonly FinishedSpan[][]>();

  constructor(private readonly options: WaterfallOptions = {}) {
    this.stream = options.stream ?? process.stdout;
    // Console survives a closed pipe, which a bare write would turn into an uncaught error.
    this.console = new Console({ stdout: this.stream, ignoreErrors: true, colorMode: false });
  }

  /** Draws the local roots among `spans`; keeps the others until theirs has come. Never throws. */
  export(spans: readonly FinishedSpan[], done: (result: WaterfallExportResult) => void): void {
    let result: WaterfallExportResult = { code: 0 };
    try {
      this.drawWithOthers(this.roots.add(spans, Date.now()));
      if (this.roots.hasLate) this.lateTimer ??= setTimeout(() => this.drawLate(), LATE_MS).unref();
    } catch (error) {
      result = { code: 1, error: error instanceof Error ? error : new Error(String(error)) };
    }
    done(result);
  }

  /** From now on blocks carry a link, and what other services did below them. @internal */
  showWith(viewer: TraceViewer): void {
    this.viewer = viewer;
  }

  /** Draws what has been gathered so far, of spans that outlived their request too. */
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

  /** A tree that nobody else was called from is drawn at once. */
  private drawWithOthers(trees: FinishedSpan[][]): void {
    const { viewer } = this;
    const calling = viewer?.traceUrlPrefix === undefined ? [] : trees.filter(callsOut);
    this.draw(
      trees.filter(tree => !calling.includes(tree)).map(tree => tree.map(toTraceSpan)),
      '',
    );
    if (viewer === undefined || calling.length === 0) return;
    const timer = setTimeout(() => {
      this.waiting.delete(timer);
      // Once per trace: each answer is the whole of it, and a job may end with a thousand roots of one.
      const answers = new Map<string, Promise<ChildrenOf>>();
      const whole = calling.map(async tree => {
        const own = tree.map(toTraceSpan);
        const traceId = own[0]?.traceId ?? '';
        const answer = answers.get(traceId) ?? viewer.spansOf(traceId, OTHERS_MS).then(childrenOf);
        answers.set(traceId, answer);
        return [...own, ...descendants(own, await answer)];
      });
      void Promise.all(whole).then(drawn => this.drawGuarded(drawn, ''));
    }, OTHERS_MS).unref();
    this.waiting.set(timer, calling);
  }

  /** Where nobody is to be told: a stream that cannot be written to owes the application nothing. */
  private drawGuarded(trees: readonly (readonly TraceSpan[])[], remark: string): void {
    try {
      this.draw(trees, remark);
    } catch {
      // Said above.
    }
  }

  /** One write for all blocks: nothing can come between their lines. */
  private draw(trees: readonly (readonly TraceSpan[])[], remark: string): void {
    const wanted = trees.filter(tree => this.isWanted(tree)).flatMap(tree => buildTraceTrees(tree));
    if (wanted.length === 0) return;
    const layout = this.layout();
    const prefix = this.viewer?.traceUrlPrefix;
    const blocks = wanted.map(trace => drawWaterfall(trace, layout, remark, prefix && prefix + trace.traceId));
    // console.log ends the last line itself.
    this.console.log(blocks.join('').slice(0, -1));
  }

  private isWanted(tree: readonly TraceSpan[]): boolean {
    const { minDurationMs = 0, onlyErrors = false } = this.options;
    if (onlyErrors && !tree.some(({ status }) => status === 'error')) return false;
    const [root] = tree;
    return root !== undefined && Number(root.endNs - root.startNs) >= minDurationMs * 1e6;
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
