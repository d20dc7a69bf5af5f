/** Traces incoming gRPC calls: wraps the methods that Nest creates from handlers. A span ends when the status of its call is sent. */
import type { EventEmitter } from 'node:events';
import { context, type Span, SpanKind, trace } from '@opentelemetry/api';
import {
  GRPC,
  GRPC_CODE,
  grpcMethod,
  grpcPeer,
  grpcServer,
  type GrpcStatus,
  isGrpcStatus,
  recordGrpcStatus,
  recordServedStatus,
} from './attributes.js';
import { recordFailure } from '../../../conventions/failure.js';
import { memberAt } from '../../../conventions/peer.js';
import { rpcAttributes } from '../../../conventions/rpc.js';
import { untracedPatterns } from '../../../nest/handlers.js';
import type { InboundRequest } from '../../../options/tracing-options.js';
import { emitInContext } from '../../../spans/context.js';
import type { InboundOperation, InboundOperations } from '../../../spans/inbound.js';
import { InboundWork } from '../../../spans/inbound-work.js';
import { workIn } from '../../../spans/work.js';
import { replaceMethod, type Undo, undoAll } from '../../../wrapping/replace-method.js';
import type { RpcServer } from '../transport.js';

interface Metadata {
  get(key: string): (string | Buffer)[];
  getMap(): Record<string, unknown>;
}

/** A call that @grpc/grpc-js passes to a method. The package need not be installed. */
interface ServerCall extends EventEmitter {
  readonly metadata: Metadata;
  readonly cancelled?: boolean;
  getPeer?(): unknown;
  getHost?(): unknown;
  getDeadline?(): Date | number;
  /** All ways to answer end in `sendStatus`. */
  readonly call?: { sendStatus?: unknown };
}

type Callback = (this: unknown, ...args: unknown[]) => unknown;
type Method = (this: unknown, call: ServerCall, callback?: Callback) => unknown;

/** `Transport.GRPC` of Nest. */
const GRPC_TRANSPORT = 4;

export function isGrpcServer({ transportId }: RpcServer): boolean {
  return transportId === GRPC_TRANSPORT;
}

/** Traces the calls of a gRPC server. It must have no methods yet. Returns the undo function. */
export function traceGrpcServer(server: RpcServer, controllers: Iterable<Function>, inbound: InboundOperations): Undo {
  // These are the server's keys for handlers.
  const untraced = untracedPatterns(controllers, pattern => (typeof pattern === 'string' ? pattern : JSON.stringify(pattern)));
  const served = (method: Method, name: string, isUntraced = false): Method =>
    traced(method, call => describe(name, call, memberAt(server, 'url')), isUntraced, inbound);
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
        if (typeof grpc === 'object' && grpc !== null) traceMissing(grpc, (method, path) => served(method, grpcMethod(path)));
        return grpc;
      };
      return function (...args) {
        const grpc = createClient.apply(this, args);
        return grpc instanceof Promise ? grpc.then(watch) : watch(grpc);
      };
    }),
  ]);
}

/** Traces calls of methods without a handler: the gRPC server registers its own answer for each of these. */
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

/** Returns the paths of methods that the implementation lacks. */
function missingMethods(service: unknown, implementation: unknown): Set<unknown> {
  const definitions = Object.entries((service ?? {}) as Record<string, { path?: unknown; originalName?: unknown } | undefined>);
  const isThere = (name: unknown) => typeof name === 'string' && memberAt(implementation, name) !== undefined;
  return new Set(definitions.flatMap(([name, method]) => (isThere(name) || isThere(method?.originalName) ? [] : [method?.path])));
}

function traced(
  method: Method,
  describeCall: (call: ServerCall) => InboundOperation,
  isUntraced: boolean,
  inbound: InboundOperations,
): Method {
  return function (call, callback) {
    const work = inbound.start(() => describeCall(call), isUntraced);
    if (work === undefined) return method.call(this, call, callback);
    const { context: ctx } = work;
    if (!(work instanceof InboundWork) || work.isForeign || !work.span.isRecording()) {
      emitInContext(call, ctx);
      return context.with(ctx, method, this, call, callback);
    }
    const served = new ServedCall(call, work);
    emitInContext(call, ctx, (event, value) => served.saw(event, value));
    const result = context.with(ctx, method, this, call, callback && served.answering(callback));
    if (!(result instanceof Promise)) return result;
    // If a method rejects, its caller gets no answer. The rejection stays unhandled, as without tracing.
    return result.catch((thrown: unknown) => {
      work.fail(thrown);
      throw thrown;
    });
  };
}

/** `url`: the address that the server listens on. Used only if the caller does not name the host. */
function describe(name: string, call: ServerCall, url: unknown): InboundOperation {
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
    interrupt: span => recordGrpcStatus(span, { code: GRPC_CODE.CANCELLED }),
    openedElsewhere: serverSpanOfOthers(),
  };
}

/** One call, until its status is sent or its caller cancels. */
class ServedCall {
  private readonly startedAt = Date.now();
  /** True if `sendStatus` can be wrapped: it also shows failures of serialization and missed deadlines. */
  private readonly seesStatus: boolean;

  constructor(
    private readonly call: ServerCall,
    private readonly work: InboundWork,
  ) {
    const { over } = this;
    this.seesStatus = typeof call.call?.sendStatus === 'function';
    replaceMethod(call.call ?? {}, 'sendStatus', sendStatus => {
      return function (status, ...rest) {
        over(status);
        return sendStatus.call(this, status, ...rest);
      };
    });
    if (call.cancelled === true) this.over(this.abandoned());
  }

  saw(event: unknown, value: unknown): void {
    if (event === 'cancelled') this.over(this.abandoned());
    else if (this.seesStatus) return;
    else if (event === 'error') this.over(statusOf(value));
    else if (event === 'finish') this.over({ code: GRPC_CODE.OK });
  }

  answering(callback: Callback): Callback {
    const { over, seesStatus } = this;
    if (seesStatus) return callback;
    return function (...args) {
      over(args[0] ? statusOf(args[0]) : { code: GRPC_CODE.OK });
      return callback.apply(this, args);
    };
  }

  private readonly over = (status: unknown): void => {
    const { work } = this;
    if (work.hasEnded || !isGrpcStatus(status)) return;
    if (status.code !== GRPC_CODE.OK) {
      work.fail(status);
      return;
    }
    recordGrpcStatus(work.span, status);
    work.end();
  };

  /** Returns the status of a call that its caller gave up. The caller may notice its deadline slightly earlier than this side. */
  private abandoned(): GrpcStatus {
    const deadline = Number(this.call.getDeadline?.() ?? Infinity);
    const tolerance = Math.min(100, (deadline - this.startedAt) / 5);
    return deadline - Date.now() <= tolerance
      ? { code: GRPC_CODE.DEADLINE_EXCEEDED, details: 'Deadline exceeded' }
      : { code: GRPC_CODE.CANCELLED };
  }
}

/** Returns the status that @grpc/grpc-js sends for an error of a method. */
function statusOf(error: unknown): GrpcStatus {
  const { details, message } = (error ?? {}) as { details?: unknown; message?: unknown };
  return { code: isGrpcStatus(error) ? error.code : GRPC_CODE.UNKNOWN, details: typeof details === 'string' ? details : message };
}

/** Uses the definition's path, or else the decorator's service and method. */
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

/** Binary values become Base64, as they are sent. */
function headersOf(metadata: Metadata): InboundRequest['headers'] {
  const headers: Record<string, string | string[]> = {};
  for (const key of Object.keys(metadata.getMap())) {
    const values = metadata.get(key).map(value => (typeof value === 'string' ? value : value.toString('base64')));
    const [first = ''] = values;
    headers[key] = values.length > 1 ? values : first;
  }
  return headers;
}

/** Returns the active SERVER span. If there is one here, another instrumentation has opened it for this call. */
function serverSpanOfOthers(): Span | undefined {
  if (workIn() !== undefined) return undefined;
  const span: (Span & { readonly kind?: number }) | undefined = trace.getActiveSpan();
  return span?.kind === SpanKind.SERVER && span.isRecording() ? span : undefined;
}
