/** The viewer as its users start it, a command of its own, asked what has arrived. */
import { printTrees } from '../../lib/testing/trace-recorder.js';
import { readOtlp } from '../../lib/viewer/model/otlp-json.js';
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { buildTraceTrees } from '../../lib/viewer/model/trace-tree.js';
import type { TraceList, TraceSummary, WireTrace } from '../../lib/viewer/model/wire.js';
import { Program } from '../../sample/runner/program.js';

const ARRIVAL_TIMEOUT_MS = 15_000;

export class RunningViewer {
  private constructor(
    private readonly program: Program,
    readonly url: string,
  ) {}

  static async start(): Promise<RunningViewer> {
    const args = ['dist/esm/command.js', 'viewer', '--port', '0'];
    const program = await Program.start({ command: process.execPath, args }, /Traces are shown at (http\S+)/);
    return new RunningViewer(program, program.found);
  }

  stop(): Promise<void> {
    return this.program.stop();
  }

  /** Forgets everything. */
  async clear(): Promise<void> {
    await fetch(`${this.url}/api/traces`, { method: 'DELETE' });
  }

  /** What is stored as soon as there are so many spans, oldest first; fails with what there is instead. */
  async traces(spanCount: number): Promise<readonly TraceSummary[]> {
    let traces: readonly TraceSummary[] = [];
    await until(`${spanCount} spans in the viewer`, async () => {
      ({ traces } = await this.ask<TraceList>('/api/traces'));
      return traces.reduce((sum, trace) => sum + trace.spanCount, 0) >= spanCount;
    });
    return [...traces].sort((a, b) => (BigInt(a.startNs) < BigInt(b.startNs) ? -1 : 1));
  }

  /** A trace as the viewer's download has it, which must be what its page is given. */
  async spans(traceId: string): Promise<readonly TraceSpan[]> {
    const { spans } = readOtlp(await this.ask(`/api/traces/${traceId}/otlp`));
    const page = await this.ask<WireTrace>(`/api/traces/${traceId}`);
    const text = (column: ArrayLike<number>, index: number) => page.texts[column[index] ?? -1];
    const shown = page.spanId.map((id, index) => {
      const parent = page.spanId[page.parent[index] ?? -1] ?? page.missingParent[index] ?? '';
      return [id, parent, text(page.name, index), text(page.service, index)];
    });
    const downloaded = spans.map(({ spanId, parentSpanId = '', name, service }) => [spanId, parentSpanId, name, service]);
    if (sorted(shown) !== sorted(downloaded)) throw new Error('The page is given other spans than the download has.');
    return spans;
  }

  /** The download itself. */
  async download(traceId: string): Promise<string> {
    return JSON.stringify(await this.ask(`/api/traces/${traceId}/otlp`));
  }

  private async ask<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}`);
    return (await answer.json()) as T;
  }
}

/** The trees of `spans`, one line per span: service, name, kind and failure. */
export function treeOf(spans: readonly TraceSpan[]): string {
  return printTrees(buildTraceTrees(spans));
}

/** Asks again and again, until it is so or too late. */
export async function until(what: string, isSo: () => Promise<boolean>, timeoutMs = ARRIVAL_TIMEOUT_MS): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

function sorted(rows: readonly (readonly unknown[])[]): string {
  const lines = rows.map(row => row.join(' ')).sort();
  return lines.join('\n');
}
