/** The viewer's server with traces from a spec; stops and starts again on the same port. */
import { TraceStore } from '../../../lib/viewer/server/trace-store.js';
import { ViewerServer } from '../../../lib/viewer/server/viewer-server.js';
import type { TraceSpan } from '../../../lib/viewer/model/trace-span.js';

export class RunningViewer {
  private server: ViewerServer | undefined;
  private store = new TraceStore({ maxBytes: 512 * 1024 * 1024 });
  private port = 0;

  /** What was stored before is gone, as after a restart of the process. */
  async start(): Promise<void> {
    this.store = new TraceStore({ maxBytes: 512 * 1024 * 1024 });
    this.server = await ViewerServer.listen(this.store, { port: this.port, isKeptAlive: true });
    this.port = Number(new URL(this.server.url).port);
  }

  async stop(): Promise<void> {
    await this.server?.close();
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Returns the id of the trace. */
  add(spans: readonly TraceSpan[]): string {
    this.store.add(spans);
    return spans[0]?.traceId ?? '';
  }
}
