/** The sample, run as its README says for a backend; what our viewer has of it is what a backend's answers are compared with. */
import { orderSystem } from '../../sample/02-order-system/scenario.js';
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { Program } from '../../sample/runner/program.js';
import { type RunningViewer, treeOf } from '../foreign/running-viewer.js';

const SAMPLE_TIMEOUT_MS = 120_000;
const TREES = orderSystem.requests({}).map(({ tree }) => {
  const lines = tree.split('\n').filter(line => line.trim() !== '');
  const indent = Math.min(...lines.map(line => line.search(/\S/)));
  return lines.map(line => line.slice(indent)).join('\n');
});

/** What user-service writes when it starts, before there is a request. */
const AT_START = 'INSERT users (client)';

/** Runs it; its traces in our viewer, which are the ones that its scenario promises. */
export async function runSample(viewer: RunningViewer, env: NodeJS.ProcessEnv): Promise<readonly (readonly TraceSpan[])[]> {
  const { code, output } = await Program.run({ command: process.execPath, args: ['sample/dist/run.js'], env }, SAMPLE_TIMEOUT_MS);
  if (code !== 0) throw new Error(`the sample failed:\n${output}`);
  const summaries = await viewer.traces([AT_START, ...TREES].join('\n').split('\n').length);
  const all = await Promise.all(summaries.map(({ traceId }) => viewer.spans(traceId)));
  expect(all.map(treeOf)).toEqual([AT_START, ...TREES]);
  return all.slice(1);
}

/** A span as a backend tells it, in that backend's words. */
export interface ToldSpan {
  readonly id: string;
  readonly parent: string | undefined;
  readonly name: string;
  readonly service: string;
  readonly kind: string;
  /** Microseconds since 1970. */
  readonly start: number;
  /** In microseconds. */
  readonly duration: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly string[];
}

/** Times may be a microsecond apart: each side rounds for itself. */
export function expectSame(told: readonly ToldSpan[], ours: readonly ToldSpan[]): void {
  const byId = (a: ToldSpan, b: ToldSpan) => (a.id < b.id ? -1 : 1);
  const [theirs, wanted] = [[...told].sort(byId), [...ours].sort(byId)];
  const inTime = theirs.map((span, index) => {
    const { start, duration } = wanted[index] ?? span;
    const isInTime = Math.abs(span.start - start) <= 1 && Math.abs(span.duration - duration) <= 1;
    return isInTime ? { ...span, start, duration } : span;
  });
  expect(inTime).toEqual(wanted);
}

export const micros = (ns: bigint): number => Math.round(Number(ns) / 1000);
