/** A traced application that uses databases, for the specs of this folder. Its requests are root spans named `request <n>`. */
import type { Provider } from '@nestjs/common';
import { Tracer } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { QueueApplication, type QueueSetup } from '../queue-application.js';

export class DatabaseApplication extends QueueApplication {
  /** Starts an application that provides `databases`: pools, clients or ORMs, by name. */
  static async start(databases: Readonly<Record<string, object>>, setup: QueueSetup = {}): Promise<DatabaseApplication> {
    const recorder = new TraceRecorder();
    const provided: Provider[] = Object.entries(databases).map(([provide, useValue]) => ({ provide, useValue }));
    const context = await QueueApplication.create([], { ...setup, providers: [...provided, ...(setup.providers ?? [])] }, recorder);
    return new DatabaseApplication(recorder, context.enableShutdownHooks());
  }

  /** Runs `fn` in one request. Returns the spans below it, in the order of their start, without the request. */
  async during(fn: () => unknown): Promise<FinishedSpan[]> {
    this.recorder.clear();
    await this.context.get(Tracer).span('request', async () => fn());
    return this.below(this.recorder.spans.find(({ name }) => name === 'request'));
  }

  /** Runs `fn` in `count` requests at the same time. Returns what is below each one. */
  async concurrently(count: number, fn: (index: number) => Promise<unknown>): Promise<FinishedSpan[][]> {
    this.recorder.clear();
    const tracer = this.context.get(Tracer);
    await Promise.all(Array.from({ length: count }, (_, index) => tracer.span(`request ${index}`, () => fn(index))));
    return Array.from({ length: count }, (_, index) => this.below(this.recorder.spans.find(({ name }) => name === `request ${index}`)));
  }

  /** Everything that is exported, as one text: to look for what must not be there. */
  get exported(): string {
    return JSON.stringify(
      this.recorder.spans.map(({ name, attributes, events, status, links }) => ({ name, attributes, events, status, links })),
    );
  }

  private below(root: FinishedSpan | undefined): FinishedSpan[] {
    if (root === undefined) throw new Error('The request has no span.');
    const { traceId } = root.spanContext();
    return this.recorder.spans
      .filter(span => span !== root && span.spanContext().traceId === traceId)
      .sort((one, other) => one.startTime[0] - other.startTime[0] || one.startTime[1] - other.startTime[1]);
  }
}

export function namesOf(spans: readonly FinishedSpan[]): string[] {
  return spans.map(({ name }) => name);
}
