/** The viewer's HTTP server: listens on the loopback, guards the door, and sends each request where it belongs. */
import { EventEmitter } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { suppressed } from '../../local/work.js';
import { Api } from './api.js';
import { intakes } from './intake.js';
import { LiveUpdates } from './live-updates.js';
import { isPagePath, loadPage, NOTHING_RUNS, shownTrace } from './page.js';
import { isForThisMachine, isFromAnotherSite } from './request-guard.js';
import type { TraceStore } from './trace-store.js';

const HOST = '127.0.0.1';

/** @internal */
export interface ViewerServerOptions {
  readonly port: number;
  /** Whether the process goes on living for it. */
  readonly isKeptAlive: boolean;
}

/** @internal */
export class ViewerServer {
  private readonly server: Server;
  private readonly api: Api;
  private readonly live: LiveUpdates;
  private readonly intakes: ReturnType<typeof intakes>;
  private port = 0;

  private constructor(
    readonly store: TraceStore,
    { isKeptAlive }: ViewerServerOptions,
  ) {
    this.live = new LiveUpdates(store);
    this.api = new Api(store, this.live);
    this.intakes = intakes(store);
    this.server = createServer((request, response) => void this.handle(request, response));
    // An emit of its own: instrumentations of node:http, which wrap that of all servers, shall not make spans of looking at spans.
    this.server.emit = EventEmitter.prototype.emit;
    if (isKeptAlive) return;
    this.server.unref();
    this.server.on('connection', (socket: Socket) => socket.unref());
  }

  /** Rejects with what `listen` fails with: `EADDRINUSE` where the port is somebody else's. */
  static async listen(store: TraceStore, options: ViewerServerOptions): Promise<ViewerServer> {
    const viewer = new ViewerServer(store, options);
    const { server } = viewer;
    try {
      await context.with(suppressed(ROOT_CONTEXT), async () => {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          // Exclusive: the workers of a cluster would share the port, and each see a part of the traces.
          server.listen({ port: options.port, host: HOST, exclusive: true }, resolve);
        });
      });
    } catch (error) {
      viewer.live.close();
      throw error;
    }
    viewer.port = (server.address() as AddressInfo).port;
    // Whatever happens to a listening socket must not end the process.
    server.on('error', () => undefined);
    return viewer;
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** Lets go of the port and of everybody who is connected. */
  async close(): Promise<void> {
    this.live.close();
    const closed = new Promise<void>(resolve => void this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      // A connection that breaks is the other side's affair.
      request.on('error', () => undefined);
      response.on('error', () => undefined);
      if (!(await this.route(request, response))) refuse(response, 404, 'There is nothing here.');
    } catch {
      if (response.headersSent) response.destroy();
      else refuse(response, 500, 'This could not be answered.');
    }
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('referrer-policy', 'no-referrer');
    response.setHeader('cross-origin-resource-policy', 'same-origin');
    response.setHeader('content-security-policy', NOTHING_RUNS);
    if (!isForThisMachine(request.headers, this.port)) {
      refuse(response, 403, `The viewer answers to ${this.url} and to localhost only.`);
      return true;
    }
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    // A link to a trace may stand on any page; what may be asked and sent from there is nothing.
    if (isPagePath(path) && (request.method === 'GET' || request.method === 'HEAD')) return this.sendPage(request, response, path);
    if (isFromAnotherSite(request.headers)) {
      refuse(response, 403, 'Other sites have no business here.');
      return true;
    }
    const intake = this.intakes.get(path);
    if (intake === undefined) return this.api.answer(request, response, path, new URLSearchParams(query));
    await intake(request, response);
    return true;
  }

  private async sendPage(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const { html, gzipped, policy } = await loadPage();
    const isCompressed = /\bgzip\b/.test(request.headers['accept-encoding']?.toString() ?? '');
    const body = isCompressed ? gzipped : html;
    const trace = this.store.trace(shownTrace(path) ?? '');
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-length': body.length,
      'content-security-policy': policy,
      'cross-origin-opener-policy': 'same-origin',
      'cache-control': 'no-store',
      vary: 'accept-encoding',
      // The page will ask for it as soon as its script runs; so it is there by then.
      ...(trace && { link: `</api/traces/${trace.traceId}>; rel=preload; as=fetch; crossorigin` }),
      ...(isCompressed && { 'content-encoding': 'gzip' }),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
    return true;
  }
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${reason}\n`);
}
