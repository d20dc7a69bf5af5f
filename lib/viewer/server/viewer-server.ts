/** The viewer's HTTP server: listens on the loopback, refuses requests of other sites, and routes the rest. */
import { EventEmitter } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { suppressed } from '../../propagation/context-values.js';
import { Api } from './api.js';
import { intakes } from './intake.js';
import { LiveUpdates } from './live-updates.js';
import { isPagePath, loadPage, NOTHING_RUNS, shownTrace } from './page.js';
import type { TraceStore } from './trace-store.js';

const HOST = '127.0.0.1';
/** The host names that cannot lead to this machine by the DNS of a web site. */
const LOCAL_NAMES = [HOST, 'localhost', '[::1]'];

/** @internal */
export interface ViewerServerOptions {
  readonly port: number;
  /** Whether the server keeps the process alive. */
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
    // Instrumentations of node:http wrap the emit() of all servers. The original keeps them from making spans for the viewer's requests.
    this.server.emit = EventEmitter.prototype.emit;
    if (isKeptAlive) return;
    this.server.unref();
    this.server.on('connection', (socket: Socket) => socket.unref());
  }

  /** Rejects with the error of `listen`: `EADDRINUSE` if another process has the port. */
  static async listen(store: TraceStore, options: ViewerServerOptions): Promise<ViewerServer> {
    const viewer = new ViewerServer(store, options);
    const { server } = viewer;
    try {
      await context.with(suppressed(ROOT_CONTEXT), async () => {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          // Without `exclusive`, the workers of a cluster would share the port, and each would get a part of the traces.
          server.listen({ port: options.port, host: HOST, exclusive: true }, resolve);
        });
      });
    } catch (error) {
      viewer.live.close();
      throw error;
    }
    viewer.port = (server.address() as AddressInfo).port;
    // An error of the listening socket must not end the process.
    server.on('error', () => undefined);
    return viewer;
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** Closes the port and all connections. */
  async close(): Promise<void> {
    this.live.close();
    const closed = new Promise<void>(resolve => void this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      // A connection that breaks needs no answer.
      request.on('error', () => undefined);
      response.on('error', () => undefined);
      if (!(await this.route(request, response))) refuse(response, 404, 'The viewer has no such page, trace or span.');
    } catch {
      if (response.headersSent) response.destroy();
      else refuse(response, 500, 'The viewer could not answer the request.');
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
    // Another site may link to the page, but it may not read or send anything.
    if (isPagePath(path) && (request.method === 'GET' || request.method === 'HEAD')) return this.sendPage(request, response, path);
    if (isFromAnotherSite(request.headers)) {
      refuse(response, 403, 'The viewer refuses requests of other sites.');
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
      // The browser loads the trace before the script of the page asks for it.
      ...(trace && { link: `</api/traces/${trace.traceId}>; rel=preload; as=fetch; crossorigin` }),
      ...(isCompressed && { 'content-encoding': 'gzip' }),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
    return true;
  }
}

/** Whether the request names a host that belongs to this machine only. This protects against DNS rebinding. */
function isForThisMachine({ host }: IncomingHttpHeaders, port: number): boolean {
  const requested = host?.toLowerCase();
  return LOCAL_NAMES.some(name => requested === `${name}:${port}` || (port === 80 && requested === name));
}

/** Whether a browser sends the request for another site. Programs other than browsers send neither of the two headers. */
function isFromAnotherSite(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  return origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase() ?? ''}`;
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${reason}\n`);
}
