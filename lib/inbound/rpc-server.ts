/** Where calls and messages of Nest's microservices enter: the handlers of every server that the application connects. */
import type { ModulesContainer } from '@nestjs/core';
import { type Span, SpanKind } from '@opentelemetry/api';
import { markFailure } from '../conventions/failure.js';
import { messageAttributes, messageSpanName } from '../conventions/messaging.js';
import { rpcAttributes, rpcSpanName, unknownMethodAttributes } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import type { Arrival, Arrivals } from './arrival.js';
import { untracedPatterns } from './controller-handlers.js';
import { currentEnvelope } from './rpc-envelope.js';
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
      this.transport.takesAnything === true ? this.watchUnhandled() : () => undefined,
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

  /** Where nothing is `isRegistered`, the pattern is whatever the sender has made up: then it names no span. */
  private describe(registered: string, args: unknown[], isRegistered = true): Arrival {
    const { server, transport } = this;
    const { system, fail, instrumentation } = transport;
    const {
      pattern,
      template = isRegistered ? registered : undefined,
      attributes: further,
      ...read
    } = transport.read(server, registered, args);
    const ruled = pattern ?? read.destination;
    const message = { system, destination: ruled, url: ruled, headers: read.headers };
    if (transport.protocol === 'rpc') {
      const attributesOf = isRegistered ? rpcAttributes : unknownMethodAttributes;
      const attributes = () => ({ ...attributesOf(system, registered, transport.serverOf?.(server)), ...further?.() });
      const name = isRegistered ? registered : rpcSpanName(system);
      return { message, kind: SpanKind.SERVER, name, attributes, fail, instrumentation };
    }
    const operation = { ...read, system, operation: transport.operation, type: 'process', template } as const;
    const attributes = () => ({ ...messageAttributes({ ...operation, server: transport.serverOf?.(server) }), ...further?.() });
    return { message, kind: SpanKind.CONSUMER, name: messageSpanName(operation), attributes, fail, instrumentation };
  }

  /** A message that Nest finds no handler for has a span all the same, which fails. */
  private watchUnhandled(): () => void {
    const refuse = (pattern: unknown): void => {
      const envelope = currentEnvelope();
      // Nest looks for the handlers of an event twice.
      if (envelope === undefined || envelope.isUnhandled === true) return;
      envelope.isUnhandled = true;
      const failure = Object.assign(new Error(messages.noHandler()), { code: 'NO_HANDLER' });
      const fail = (span: Span): void => markFailure(span, failure);
      try {
        this.arrivals.serve(
          () => ({ ...this.describe(String(pattern), [], false), fail }),
          () => {
            throw failure;
          },
        );
      } catch {
        // That it failed is all there is to tell.
      }
    };
    return replaceMethod(this.server, 'getHandlerByPattern', getHandlerByPattern => {
      return function (...args) {
        const handler = getHandlerByPattern.apply(this, args);
        if (handler === null || handler === undefined) refuse(args[0]);
        return handler;
      };
    });
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
