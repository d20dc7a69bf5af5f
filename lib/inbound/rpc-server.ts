/** Where calls and messages of Nest's microservices enter: the handlers of every server that the application connects. */
import type { ModulesContainer } from '@nestjs/core';
import { SpanKind } from '@opentelemetry/api';
import { messageAttributes, messageSpanName } from '../conventions/messaging.js';
import { rpcAttributes } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import type { Arrival, Arrivals } from './arrival.js';
import { untracedPatterns } from './controller-handlers.js';
import { isGrpcServer, traceGrpcServer } from './rpc-grpc.js';
import type { RpcServer, RpcTransport } from './rpc-transport.js';
import { transportOf } from './rpc-transports.js';

/** A handler as Nest registers it with a server; further handlers of an event hang on the first one. */
type Handler = ((this: unknown, ...args: unknown[]) => unknown) & { next?: unknown };

const TRACED = Symbol.for('nestjs-tracing/rpc-server');

/**
 * Traces the servers of an application: those that are there and those to come. `onServer` hears of each before its handlers are built.
 * Returns what undoes it. @internal
 */
export function traceRpcServers(modules: ModulesContainer, arrivals: Arrivals, onServer: () => void): () => void {
  const undo: (() => void)[] = [];
  // Nest names a server before it registers handlers with it.
  const subscription = modules.getRpcTargetRegistry<RpcServer & { [TRACED]?: true }>().subscribe(server => {
    try {
      if (server[TRACED] === true) return;
      server[TRACED] = true;
      undo.push(() => delete server[TRACED], traceServer(server, modules, arrivals));
      onServer();
    } catch (error) {
      reportTrouble('inbound.rpc', messages.messageNotTraced(), error);
    }
  });
  return () => {
    subscription.unsubscribe();
    undoAll(undo)();
  };
}

function traceServer(server: RpcServer, modules: ModulesContainer, arrivals: Arrivals): () => void {
  if (isGrpcServer(server)) return traceGrpcServer(server, controllersOf(modules), arrivals);
  return new TracedServer(server, modules, arrivals).undo;
}

class TracedServer {
  readonly undo: () => void;
  private readonly transport: RpcTransport;
  private readonly untraced: ReadonlySet<string>;

  constructor(
    private readonly server: RpcServer,
    modules: ModulesContainer,
    private readonly arrivals: Arrivals,
  ) {
    this.transport = transportOf(server);
    this.untraced = untracedPatterns(controllersOf(modules), pattern => this.nameOf(pattern));
    this.undo = undoAll([
      this.transport.watch?.(server) ?? (() => undefined),
      replaceMethod(server, 'addHandler', addHandler => (pattern, callback, isEventHandler, extras) => {
        const handler = callback as Handler;
        // One message, one span: an event's further handlers are called by the first.
        const isFollower = isEventHandler === true && server.getHandlers().has(this.normalized(pattern));
        return addHandler.call(server, pattern, isFollower ? handler : this.traced(pattern, handler), isEventHandler, extras);
      }),
    ]);
  }

  private traced(pattern: unknown, handler: Handler): Handler {
    const { arrivals } = this;
    const registered = this.nameOf(pattern);
    const isUntraced = this.untraced.has(registered);
    const describe = (args: unknown[]) => ({ ...this.describe(registered, args), isShared: handler.next !== undefined });
    const traced: Handler = function (...args) {
      return arrivals.serve(
        () => describe(args),
        () => handler.apply(this, args),
        isUntraced,
      );
    };
    // Nest hangs further handlers on what it registered, and looks for them on what it made.
    Object.defineProperty(traced, 'next', {
      get: () => handler.next,
      set: (next: unknown) => (handler.next = next),
      enumerable: true,
      configurable: true,
    });
    return traced;
  }

  private describe(registered: string, args: unknown[]): Arrival {
    const { server, transport } = this;
    const { system, fail, instrumentation } = transport;
    const { pattern, template = registered, attributes: further, ...read } = transport.read(server, registered, args);
    const ruled = pattern ?? read.destination;
    const message = { system, destination: ruled, url: ruled, headers: read.headers };
    if (transport.protocol === 'rpc') {
      const attributes = () => ({ ...rpcAttributes(system, registered, transport.serverOf?.(server)), ...further?.() });
      return { message, kind: SpanKind.SERVER, name: registered, attributes, fail, instrumentation };
    }
    const operation = { ...read, system, operation: transport.operation, type: 'process', template } as const;
    const attributes = () => ({ ...messageAttributes({ ...operation, server: transport.serverOf?.(server) }), ...further?.() });
    return { message, kind: SpanKind.CONSUMER, name: messageSpanName(operation), attributes, fail, instrumentation };
  }

  private normalized(pattern: unknown): unknown {
    return pattern instanceof RegExp ? pattern : this.server.normalizePattern(pattern);
  }

  /** A pattern as people write it: `sum`, `{"cmd":"sum"}`, `/orders[.]/`. */
  private nameOf(pattern: unknown): string {
    return String(this.normalized(pattern));
  }
}

function* controllersOf(modules: ModulesContainer): Generator<Function> {
  for (const module of modules.values()) {
    for (const { metatype } of module.controllers.values()) if (typeof metatype === 'function') yield metatype;
  }
}
