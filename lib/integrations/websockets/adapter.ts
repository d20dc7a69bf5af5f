/** Traces gateways: wraps the WebSocket adapter of an application, Nest's or the user's, for its connections and messages. */
import type { ModulesContainer } from '@nestjs/core';
import { type Method, replaceMethod, undoAll } from '../../wrapping/replace-method.js';
import { classesOf } from '../../wrapping/provider-search.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { reportTrouble } from '../../options/trouble.js';
import type { TracingApplication } from '../../spans/work.js';
import type { Integration, NestSeams } from '../../nest/integration.js';
import { messages } from '../../options/messages.js';
import { observeHandlers, untracedEvents } from '../../nest/handlers.js';
import { CarrierSearch } from '../../propagation/payload-carrier.js';
import { handshakeOf, pollingOf } from './client.js';
import { observeChanges, SocketConnection } from './connection.js';

export const websockets: Integration = {
  name: 'websockets',
  passesThrough: true,
  install(application, nest) {
    nest.onClose(traceGateways(application, nest));
    if (!application.isEnabled) return;
    // Nest explores the handlers later.
    nest.whileInForce(() => undoAll(gatewaysOf(nest.modules).flatMap(gateway => [observeHandlers(gateway), observeChanges(gateway)])));
  },
};

/** A message handler, as Nest passes it to the adapter. */
interface MessageHandler {
  readonly message: unknown;
  readonly callback: Method;
}

const TRACED = Symbol.for('nestjs-tracing/websocket-adapter');
const GATEWAY = 'websockets:is_gateway';

/** Traces connections and messages of all gateways. Returns how to undo it. */
function traceGateways(application: TracingApplication, nest: NestSeams): () => void {
  const { config, inbound } = nest;
  const gateways = gatewaysOf(nest.modules);
  if (gateways.length === 0) return () => undefined;
  const undo: (() => void)[] = [];
  const search = new CarrierSearch(application.propagator.fields(), headers => inbound.hasContext(headers));
  const untraced = untracedEvents(gateways);
  const trace = (adapter: unknown): void => {
    try {
      if (!isObject(adapter)) return;
      const install = (): (() => void) => {
        // The gateways that Nest builds next need no interceptor.
        nest.withdrawInterceptor();
        return new TracedAdapter(adapter, nest, search, untraced).undo;
      };
      undo.push(installOnce(adapter, TRACED, install));
    } catch (error) {
      reportTrouble('inbound.websocket', messages.messageNotTraced(), error);
    }
  };
  trace(config.getIoAdapter());
  // Unless the user has set an adapter, Nest sets its own when it builds the first gateway.
  undo.push(
    replaceMethod(config, 'setIoAdapter', setIoAdapter => (...args) => {
      trace(args[0]);
      return setIoAdapter.apply(config, args);
    }),
  );
  return undoAll(undo);
}

class TracedAdapter {
  readonly undo: () => void;
  private readonly connections = new WeakMap<object, SocketConnection>();
  /** The frame that the adapter is parsing. */
  private frame: unknown;

  constructor(
    adapter: object,
    private readonly nest: NestSeams,
    private readonly search: CarrierSearch,
    private readonly untraced: ReadonlySet<unknown>,
  ) {
    this.undo = undoAll([
      replaceMethod(adapter, 'bindClientConnect', bind => this.bindingConnect(bind)),
      replaceMethod(adapter, 'bindClientDisconnect', bind => this.bindingDisconnect(bind)),
      replaceMethod(adapter, 'bindMessageHandlers', bind => this.bindingMessages(bind)),
      replaceMethod(adapter, 'bindMessageHandler', handle => this.handlingFrame(handle)),
    ]);
  }

  private bindingConnect(bind: Method): Method {
    const connected = (server: unknown, callback: Method): Method => {
      return (...args) => {
        const connection = this.newConnection(server, args);
        return connection === undefined ? callback(...args) : connection.connect(() => callback(...args));
      };
    };
    const { nest } = this;
    return function (server, callback, ...rest) {
      if (typeof callback !== 'function') return bind.call(this, server, callback, ...rest);
      const polling = pollingOf(server);
      if (polling !== undefined) nest.announcePolling(polling.httpServer, polling.path);
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

  /** Remembers the frame during the call: Nest's adapter for `ws` parses it and calls the handler synchronously. */
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

  /** Returns the new connection. Returns undefined if it is known: several gateways may share a server, and Nest calls all of them. */
  private newConnection(server: unknown, args: readonly unknown[]): SocketConnection | undefined {
    const [client] = args;
    if (!isObject(client) || this.connections.has(client)) return undefined;
    try {
      const connection = new SocketConnection(this.nest.inbound, handshakeOf(server, args, this.search));
      this.connections.set(client, connection);
      return connection;
    } catch (error) {
      reportTrouble('inbound.websocket', messages.messageNotTraced(), error);
      return undefined;
    }
  }

  /** Returns the connection of a client. A user's adapter may bind message handlers to a client that never connected. */
  private connectionOf(client: unknown): SocketConnection {
    const known = isObject(client) ? this.connections.get(client) : undefined;
    return known ?? new SocketConnection(this.nest.inbound, handshakeOf(undefined, [client ?? {}], this.search));
  }
}

function gatewaysOf(modules: ModulesContainer): Function[] {
  return [...classesOf(modules, 'providers')].filter(classRef => Reflect.hasMetadata(GATEWAY, classRef));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
