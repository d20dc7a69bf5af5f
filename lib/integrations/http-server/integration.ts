/** Traces incoming HTTP requests: wraps the HTTP server and the HTTP adapter of an application, and undoes that on close. */
import type { EventEmitter } from 'node:events';
import type { AbstractHttpAdapter } from '@nestjs/core';
import type { Integration } from '../../nest/integration.js';
import { replace, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { DeclaredRoutes } from './declared-routes.js';
import { stackOf } from './express-route.js';
import { type IncomingMessage, type OutgoingMessage, watchReplies } from './http-messages.js';
import { HttpServerTracing } from './http-server.js';
import { followInterceptors, RequestSeams } from './request-seams.js';

export const httpServer: Integration = {
  name: 'http-server',
  passesThrough: true,
  install(application, nest) {
    const seams = new RequestSeams(application, nest);
    const routes = new DeclaredRoutes(application, nest.config, seams);
    const tracing = new HttpServerTracing(nest.inbound, seams, routes);
    const undo: Undo[] = [];
    if (application.isEnabled) {
      nest.onAdapter(adapter => {
        undo.push(traceAdapter(adapter, tracing));
        seams.follow(adapter);
        undo.push(watchReplies(adapter, application));
        routes.follow(adapter);
        undo.push(seams.close, routes.stop);
      });
      nest.onConfigure(() => nest.whileInForce(() => followInterceptors(application, nest)));
    }
    nest.onPolling((server, path) => tracing.leaveToSockets(server, path));
    nest.onInit(() => {
      const server = nest.httpServer();
      if (server === undefined || isOfOther(seams.framework)) return;
      undo.push(installOnce(server, TRACED_SERVER, () => traceServer(server, tracing)));
    });
    nest.onBootstrap(() => {
      // Express may have got layers before the adapter was known, and routers after they were mounted.
      if (nest.hasLayerTracing) seams.followLayers(stackOf(seams.framework));
      routes.stop();
      seams.stop();
    });
    nest.onClose(undoAll(undo));
  },
};

type RequestHook = (request: unknown, response: unknown, done: (error?: unknown) => void) => unknown;

/** The request hook of Nest's adapters (since 11.1.4). It holds one function. */
interface HookSlot {
  onRequestHook?: RequestHook;
  setOnRequestHook?(hook: RequestHook | undefined): void;
}

/** Must run before Nest registers routes, because Nest copies the hook then. */
function traceAdapter(adapter: AbstractHttpAdapter, tracing: HttpServerTracing): Undo {
  const slot = adapter as unknown as HookSlot;
  if (typeof slot.setOnRequestHook !== 'function') return () => undefined;
  const previous = slot.onRequestHook;
  const hook: RequestHook = (request, response, done) =>
    tracing.enterHook(request, response, previous === undefined ? done : () => previous.call(adapter, request, response, done));
  slot.setOnRequestHook(hook);
  return () => {
    if (slot.onRequestHook === hook) slot.setOnRequestHook?.(previous);
  };
}

const TRACED_SERVER = Symbol.for('nestjs-tracing/server');

/** Wraps the server's `emit`. Its `request` event is the earliest moment of a request. */
function traceServer(server: EventEmitter, tracing: HttpServerTracing): Undo {
  const { emit } = server;
  // An inherited `emit` is looked up at each call: instrumentation-http may wrap and unwrap the prototype's at any time.
  const below = Object.hasOwn(server, 'emit') ? { emit } : (Object.getPrototypeOf(server) as EventEmitter);
  return replace(server, 'emit', function (this: EventEmitter, event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'request') return below.emit.call(this, event, ...args);
    return tracing.enterServer(this, below.emit, args[0] as IncomingMessage, args[1] as OutgoingMessage);
  });
}

/** Returns true if the application is a plugin of another Fastify application and shares its server. */
function isOfOther(framework: object | undefined): boolean {
  return framework !== undefined && 'server' in framework && !Object.hasOwn(framework, 'server');
}
