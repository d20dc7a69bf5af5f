/** Where gRPC calls enter: the methods that Nest makes of handlers and registers with the gRPC server. A call is over when its status is sent. */
import type { EventEmitter } from 'node:events';
import { context, type Span, SpanKind, trace } from '@opentelemetry/api';
import {
  GRPC,
  GRPC_CANCELLED,
  GRPC_DEADLINE_EXCEEDED,
  GRPC_OK,
  GRPC_UNKNOWN,
  grpcMethod,
  grpcPeer,
  grpcServer,
  type GrpcStatus,
  isGrpcStatus,
  recordGrpcStatus,
  recordServedStatus,
} from '../conventions/grpc.js';
import { recordFailure } from '../conventions/failure.js';
import { rpcAttributes } from '../conventions/rpc.js';
import { emitInContext } from '../local/emit-in-context.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { RunningSpan } from '../local/running-span.js';
import { workIn } from '../local/work.js';
import type { InboundRequest } from '../tracing.options.js';
import type { Arrival, Arrivals } from './arrival.js';
import { untracedPatterns } from './controller-handlers.js';
import { propertyOf } from './rpc-context.js';
import type { RpcServer } from './rpc-transport.js';

interface Metadata {
  get(key: string): (string | Buffer)[];
  getMap(): Record<string, unknown>;
}

/** A call as @grpc/grpc-js hands it to a method; the package need not be installed. */
interface ServerCall extends EventEmitter {
  readonly metadata: Metadata;
  readonly cancelled?: boolean;
  getPeer?(): unknown;
  getHost?(): unknown;
  getDeadline?(): Date | number;
  /** What all ways to answer come down to. */
  readonly call?: { sendStatus?: unknown };
}

type Callback = (this: unknown, ...args: unknown[]) => unknown;
type Method = (this: unknown, call: ServerCall, callback?: Callback) => unknown;

/** Of Nest's enumeration `Transport`. */
const GRPC_TRANSPORT = 4;

export function isGrpcServer({ transportId }: RpcServer): boolean {
  return transportId === GRPC_TRANSPORT;
}

/** Traces the calls of a gRPC server that has no methods yet; returns what ends it. */
export function traceGrpcServer(server: RpcServer, controllers: Iterable<Function>, arrivals: Arrivals): () => void {
  const untraced = untracedPatterns(controllers, keyOf);
  const served = (method: Method, name: string, isUntraced: boolean): Method =>
    traced(method, call => describe(name, call, Reflect.get(server, 'url')), isUntraced, arrivals);
  return undoAll([
    replaceMethod(server, 'createServiceMethod', create => {
      return function (handler, definition, ...rest) {
        const method = create.call(this, handler, definition, ...rest);
        if (typeof method !== 'function') return method;
        const key = [...server.getHandlers()].find(([, registered]) => registered === handler)?.[0];
        const pattern = typeof key === 'string' ? key : '';
        return served(method as Method, nameOf(definition, pattern), untraced.has(pattern));
      };
    }),
    replaceMethod(server, 'createClient', createClient => {
      const watch = (grpc: unknown): unknown => {
        if (typeof grpc === 'object' && grpc !== null) traceMissing(grpc, (method, path) => served(method, nameOf({ path }, path), false));
        return grpc;
      };
      return function (...args) {
        const grpc = createClient.apply(this, args);
        return grpc instanceof Promise ? grpc.then(watch) : watch(grpc);
      };
    }),
  ]);
}

/** Methods of a service that the application has no handler for are answered by the gRPC server itself: it registers an answer for each. */
function traceMissing(grpc: object, served: (method: Method, path: string) => Method): void {
  replaceMethod(grpc, 'addService', addService => {
    return function (service, implementation, ...rest) {
      const missing = missingMethods(service, implementation);
      const undo = replaceMethod(grpc, 'register', register => {
        return function (path, method, ...others) {
          const isMissing = missing.has(path) && typeof method === 'function';
          return register.call(this, path, isMissing ? served(method as Method, String(path)) : method, ...others);
        };
      });
      try {
        return addService.call(this, service, implementation, ...rest);
      } finally {
        undo();
      }
    };
  });
}

/** The paths of the methods that an implementation has not. */
function missingMethods(service: unknown, implementation: unknown): Set<unknown> {
  const definitions = Object.entries((service ?? {}) as Record<string, { path?: unknown; originalName?: unknown } | undefined>);
  const isThere = (name: unknown) => typeof name === 'string' && propertyOf(implementation, name) !== undefined;
  return new Set(definitions.flatMap(([name, method]) => (isThere(name) || isThere(method?.originalName) ? [] : [method?.path])));
}

function traced(method: Method, describeCall: (call: ServerCall) => Arrival, isUntraced: boolean, arrivals: Arrivals): Method {
  return function (call, callback) {
    const accepted = arrivals.accept(() => describeCall(call), isUntraced);
    if (accepted === undefined) return method.call(this, call, callback);
    const { context: ctx, running } = accepted;
    if (running?.span.isRecording() !== true) {
      emitInContext(call, ctx);
      return context.with(ctx, method, this, call, callback);
    }
    const served = new ServedCall(call, running);
    emitInContext(call, ctx, (event, value) => served.saw(event, value));
    const result = context.with(ctx, method, this, call, callback && served.answering(callback));
    if (!(result instanceof Promise)) return result;
    // Nobody answers a call whose method breaks down; what it broke down with stays as unhandled as it was.
    return result.catch((thrown: unknown) => {
      running.fail(thrown);
      throw thrown;
    });
  };
}

/** `url` is what the server listens on; callers may know it by another name. */
function describe(name: string, call: ServerCall, url: unknown): Arrival {
  const host = call.getHost?.() ?? url;
  return {
    message: { system: GRPC, destination: name, url: name, headers: headersOf(call.metadata) },
    kind: SpanKind.SERVER,
    name,
    attributes: () => ({
      ...rpcAttributes(GRPC, name, typeof host === 'string' ? grpcServer(host) : undefined),
      ...grpcPeer(call.getPeer?.()),
    }),
    fail: (span, thrown, outcome) => {
      if (isGrpcStatus(outcome)) recordServedStatus(span, outcome, thrown === outcome ? undefined : thrown);
      else recordFailure(span, thrown);
    },
    interrupt: span => recordGrpcStatus(span, { code: GRPC_CANCELLED }),
    openedElsewhere: serverSpanOfOthers(),
  };
}

/** One call until its status is sent, or until nobody waits for it any more. */
class ServedCall {
  private readonly startedAt = Date.now();
  /** Whether the status is seen where it is sent, serialization failures and deadlines included. */
  private readonly seesStatus: boolean;

  constructor(
    private readonly call: ServerCall,
    private readonly running: RunningSpan,
  ) {
    const wire = call.call;
    this.seesStatus = typeof wire?.sendStatus === 'function';
    if (wire !== undefined && this.seesStatus) {
      const over = (status: unknown): void => this.over(status);
      replaceMethod(wire, 'sendStatus', sendStatus => {
        return function (status, ...rest) {
          over(status);
          return sendStatus.call(this, status, ...rest);
        };
      });
    }
    if (call.cancelled === true) this.over(this.abandoned());
  }

  saw(event: unknown, value: unknown): void {
    if (event === 'cancelled') this.over(this.abandoned());
    else if (this.seesStatus) return;
    else if (event === 'error') this.over(statusOf(value));
    else if (event === 'finish') this.over({ code: GRPC_OK });
  }

  answering(callback: Callback): Callback {
    if (this.seesStatus) return callback;
    const over = (status: unknown): void => this.over(status);
    return function (...args) {
      over(args[0] ? statusOf(args[0]) : { code: GRPC_OK });
      return callback.apply(this, args);
    };
  }

  private over(status: unknown): void {
    const { running } = this;
    if (running.hasEnded || !isGrpcStatus(status)) return;
    if (status.code !== GRPC_OK) {
      running.fail(status);
      return;
    }
    recordGrpcStatus(running.span, status);
    running.end();
  }

  /** Whose caller gave up: when its deadline came, it does so a little before the same deadline is noticed here. */
  private abandoned(): GrpcStatus {
    const deadline = Number(this.call.getDeadline?.() ?? Infinity);
    const tolerance = Math.min(100, (deadline - this.startedAt) / 5);
    return deadline - Date.now() <= tolerance ? { code: GRPC_DEADLINE_EXCEEDED, details: 'Deadline exceeded' } : { code: GRPC_CANCELLED };
  }
}

/** What @grpc/grpc-js makes of an error that a method answers with. */
function statusOf(error: unknown): GrpcStatus {
  const { details, message } = (error ?? {}) as { details?: unknown; message?: unknown };
  return { code: isGrpcStatus(error) ? error.code : GRPC_UNKNOWN, details: typeof details === 'string' ? details : message };
}

/** Under which the server keeps the handler of a pattern. */
function keyOf(pattern: unknown): string {
  return typeof pattern === 'string' ? pattern : JSON.stringify(pattern);
}

/** The path of the definition; without one, what the decorator says. */
function nameOf(definition: unknown, pattern: string): string {
  const path = (definition as { path?: unknown } | undefined)?.path;
  if (typeof path === 'string') return grpcMethod(path);
  try {
    const { service, rpc } = JSON.parse(pattern) as { service: unknown; rpc: unknown };
    return `${String(service)}/${String(rpc)}`;
  } catch {
    return pattern;
  }
}

/** Binary values as they are on the wire. */
function headersOf(metadata: Metadata): InboundRequest['headers'] {
  const headers: Record<string, string | string[]> = {};
  for (const key of Object.keys(metadata.getMap())) {
    const values = metadata.get(key).map(value => (typeof value === 'string' ? value : value.toString('base64')));
    const [first = ''] = values;
    headers[key] = values.length > 1 ? values : first;
  }
  return headers;
}

/** The span that another instrumentation has opened for the call: nothing else is active where a call comes in. */
function serverSpanOfOthers(): Span | undefined {
  if (workIn() !== undefined) return undefined;
  const span: (Span & { readonly kind?: number }) | undefined = trace.getActiveSpan();
  return span?.kind === SpanKind.SERVER && span.isRecording() ? span : undefined;
}
