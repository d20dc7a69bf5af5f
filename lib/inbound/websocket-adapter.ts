/** Where clients of gateways and their messages enter: the WebSocket adapter of the application, Nest's own or the user's. */
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import type { TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { Arrivals } from './arrival.js';
import { untracedEvents, witnessHandlers } from './controller-handlers.js';
import { CarrierSearch } from './websocket-carrier.js';
import { witnessChanges } from './websocket-changes.js';
import { handshakeOf, pollingOf } from './websocket-client.js';
import { SocketConnection } from './websocket-connection.js';

/** A handler as Nest hands it to the adapter. */
interface MessageHandler {
  readonly message: unknown;
  readonly callback: Method;
}

/** What the application is told. */
export interface GatewayListener {
  /** An adapter is traced: nothing else need be done for the gateways that are built next. */
  onAdapter(): void;
  /** `path` of a server is polled. */
  onPolling(httpServer: object, path: string): void;
}

const TRACED = Symbol.for('nestjs-tracing/websocket-adapter');
const GATEWAY = 'websockets:is_gateway';

/** Puts witnesses on the gateways of an application, of which Nest must not have looked at any yet. Returns what takes them off. @internal */
export function witnessGateways(modules: ModulesContainer): () => void {
  return undoAll([...gatewaysOf(modules)].flatMap(gateway => [witnessHandlers(gateway), witnessChanges(gateway)]));
}

/** Traces the clients of an application's gateways. Returns what undoes it. @internal */
export function traceGateways(
  application: TracingApplication,
  config: ApplicationConfig,
  modules: ModulesContainer,
  arrivals: Arrivals,
  listener: GatewayListener,
): () => void {
  const gateways = [...gatewaysOf(modules)];
  if (gateways.length === 0) return () => undefined;
  const undo: (() => void)[] = [];
  const search = new CarrierSearch(application.propagator.fields(), headers => arrivals.hasContext(headers));
  const untraced = untracedEvents(gateways);
  const trace = (adapter: unknown): void => {
    try {
      if (typeof adapter === 'object' && adapter !== null && Reflect.get(adapter, TRACED) !== true) {
        undo.push(new TracedAdapter(adapter, arrivals, search, untraced, listener).undo);
        listener.onAdapter();
      }
    } catch (error) {
      reportTrouble('inbound.websocket', messages.messageNotTraced(), error);
    }
  };
  trace(config.getIoAdapter());
  // Nest sets its own adapter when it comes to the first gateway, unless the user has set one.
  undo.push(
    replaceMethod(config, 'setIoAdapter', setIoAdapter => (...args) => {
      trace(args[0]);
      return setIoAdapter.apply(config, args);
    }),
  );
  return () => undoAll(undo)();
}

class TracedAdapter {
  readonly undo: () => void;
  private readonly connections = new WeakMap<object, SocketConnection>();
  /** The frame that the adapter is looking at. */
  private frame: unknown;

  constructor(
    adapter: object,
    private readonly arrivals: Arrivals,
    private readonly search: CarrierSearch,
    private readonly untraced: ReadonlySet<unknown>,
    private readonly listener: GatewayListener,
  ) {
    Object.defineProperty(adapter, TRACED, { value: true, configurable: true });
    this.undo = undoAll([
      () => Reflect.deleteProperty(adapter, TRACED),
      replaceMethod(adapter, 'bindClientConnect', bind => this.bindingConnect(bind)),
      replaceMethod(adapter, 'bindClientDisconnect', bind => this.bindingDisconnect(bind)),
      replaceMethod(adapter, 'bindMessageHandlers', bind => this.bindingMessages(bind)),
      replaceMethod(adapter, 'bindMessageHandler', handle => this.handlingFrame(handle)),
    ]);
  }

  private bindingConnect(bind: Method): Method {
    const connected = (server: unknown, callback: Method): Method => {
      const accept = (...args: unknown[]): unknown => {
        const connection = this.arriving(server, args);
        return connection === undefined ? callback(...args) : connection.connect(() => callback(...args));
      };
      return accept;
    };
    const { listener } = this;
    return function (server, callback, ...rest) {
      if (typeof callback !== 'function') return bind.call(this, server, callback, ...rest);
      const polling = pollingOf(server);
      if (polling !== undefined) listener.onPolling(polling.httpServer, polling.path);
      return bind.call(this, server, connected(server, callback as Method), ...rest);
    };
  }

  private bindingDisconnect(bind: Method): Method {
    const { connections } = this;
    return function (client, callback, ...rest) {
      const connection = isObject(client) ? connections.get(client) : undefined;
      if (connection === undefined || typeof callback !== 'function') return bind.call(this, client, callback, ...rest);
      const leave = (...args: unknown[]): unknown => connection.disconnect(() => (callback as Method)(...args));
      return bind.call(this, client, leave, ...rest);
    };
  }

  private bindingMessages(bind: Method): Method {
    const traced = (client: unknown, handler: MessageHandler) => this.traced(client, handler);
    return function (client, handlers, ...rest) {
      const all = Array.isArray(handlers) ? (handlers as MessageHandler[]).map(handler => traced(client, handler)) : handlers;
      return bind.call(this, client, all, ...rest);
    };
  }

  /** Nest's adapter for `ws` takes the frame apart and hands its data on at once. */
  private handlingFrame(handle: Method): Method {
    const setFrame = (frame: unknown): unknown => {
      const before = this.frame;
      this.frame = frame;
      return before;
    };
    return function (...args) {
      const before = setFrame((args[0] as { data?: unknown } | undefined)?.data);
      try {
        return handle.apply(this, args);
      } finally {
        setFrame(before);
      }
    };
  }

  private traced(client: unknown, handler: MessageHandler): MessageHandler {
    const { message, callback } = handler;
    if (typeof callback !== 'function') return handler;
    const connection = this.connectionOf(client);
    const event = typeof message === 'string' ? message : JSON.stringify(message);
    const isUntraced = this.untraced.has(message);
    const serve = (...args: unknown[]): unknown => {
      const { frame, search } = this;
      const findCarrier = () => search.inPayload(args[0]) ?? search.inFrame(frame);
      return connection.message(event, findCarrier, isUntraced, () => callback(...args));
    };
    return { ...handler, callback: serve };
  }

  /** The connection that begins; `undefined` where it has begun: several gateways may share a server, and Nest calls all of them at once. */
  private arriving(server: unknown, args: readonly unknown[]): SocketConnection | undefined {
    const [client] = args;
    if (!isObject(client) || this.connections.has(client)) return undefined;
    try {
      const connection = new SocketConnection(this.arrivals, handshakeOf(server, args, this.search));
      this.connections.set(client, connection);
      return connection;
    } catch (error) {
      reportTrouble('inbound.websocket', messages.messageNotTraced(), error);
      return undefined;
    }
  }

  /** Adapters of the user's may bind messages to what never connected. */
  private connectionOf(client: unknown): SocketConnection {
    const known = isObject(client) ? this.connections.get(client) : undefined;
    return known ?? new SocketConnection(this.arrivals, handshakeOf(undefined, [client ?? {}], this.search));
  }
}

function* gatewaysOf(modules: ModulesContainer): Generator<Function> {
  const seen = new Set<Function>();
  for (const module of modules.values()) {
    for (const { metatype, isNotMetatype } of module.providers.values()) {
      if (isNotMetatype || typeof metatype !== 'function' || seen.has(metatype) || !Reflect.hasMetadata(GATEWAY, metatype)) continue;
      seen.add(metatype);
      yield metatype;
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
