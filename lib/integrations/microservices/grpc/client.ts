/** Traces outgoing calls of Nest's gRPC client: each gets a span from call to status, and sends headers in its Metadata. */
import type { EventEmitter } from 'node:events';
import { types } from 'node:util';
import { type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import {
  GRPC,
  GRPC_CODE,
  grpcMethod,
  grpcPeer,
  grpcServer,
  type GrpcStatus,
  isGrpcStatus,
  recordCalledStatus,
  recordGrpcStatus,
} from './attributes.js';
import { rpcAttributes, type ServerAddress } from '../../../conventions/rpc.js';
import { messages } from '../../../options/messages.js';
import type { OutboundRequest } from '../../../options/tracing-options.js';
import { reportTrouble } from '../../../options/trouble.js';
import { emitInContext } from '../../../spans/context.js';
import { type OutboundOperation, type OutboundWork, outgoingHeaders, startOutbound } from '../../../spans/outbound.js';
import { applicationIn } from '../../../spans/work.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../../wrapping/replace-method.js';
import { Installations } from '../../../wrapping/shared-installation.js';
import { type Callback, type GrpcClient, type GrpcMethod, readCall } from './arguments.js';

/** Nest's gRPC client. It has one @grpc/grpc-js client per service, and looks up that client's method at each call. */
interface GrpcClientProxy {
  readonly clients: Map<unknown, GrpcClient>;
  createClientByServiceName(name: unknown): GrpcClient;
}

/** Returns true for Nest's gRPC client, of any copy of @nestjs/microservices. */
export function isGrpcClientProxy(client: object): client is GrpcClientProxy {
  const { clients } = client as { clients?: unknown };
  return types.isMap(clients) && ['getService', 'getClientByServiceName', 'createClientByServiceName'].every(name => name in client);
}

/** Traces the calls of all services of the client, present and future. Returns the undo function. */
export function traceGrpcClient(proxy: GrpcClientProxy): Undo {
  // A proxy that is used again after a close creates new clients.
  const traced = new Installations();
  const trace = (client: GrpcClient): GrpcClient => {
    if (typeof client === 'object') traced.add(client, () => traceMethods(client));
    return client;
  };
  for (const client of proxy.clients.values()) trace(client);
  return undoAll([
    traced.undo,
    replaceMethod(proxy, 'createClientByServiceName', create => {
      return function (...args) {
        return trace(create.apply(this, args) as GrpcClient);
      };
    }),
  ]);
}

function traceMethods(client: GrpcClient): Undo {
  const steps: Undo[] = [];
  // Generated methods are enumerable and have a path. Each exists under two names.
  for (const name in client) {
    const method: unknown = Reflect.get(client, name);
    if (!isGrpcMethod(method)) continue;
    steps.push(
      replaceMethod(client, name, () => {
        const traced = function (this: GrpcClient, ...args: unknown[]): unknown {
          return call(this, method, args);
        };
        return Object.assign(traced as Method, method);
      }),
    );
  }
  return undoAll(steps);
}

function isGrpcMethod(method: unknown): method is GrpcMethod {
  return typeof method === 'function' && 'requestStream' in method && typeof (method as { path?: unknown }).path === 'string';
}

function call(client: GrpcClient, method: GrpcMethod, given: readonly unknown[]): unknown {
  const caller = context.active();
  const work = startOutbound(applicationIn(caller), operationOf(client, method), caller);
  const ctx = work.context;
  const outgoing = new OutgoingCall(work, caller);
  let args = given;
  try {
    const read = readCall(client, method, given);
    if (read !== undefined) args = read.args(outgoingHeaders(read.existing, ctx), callback => outgoing.answering(callback));
  } catch (error) {
    reportTrouble('outbound', messages.outboundNotTraced(), error);
  }
  try {
    const made = context.with(ctx, method, client, ...args);
    outgoing.follow(made);
    return made;
  } catch (thrown) {
    work.fail(thrown);
    throw thrown;
  }
}

function operationOf(client: GrpcClient, method: GrpcMethod): OutboundOperation {
  const name = grpcMethod(method.path);
  return {
    kind: SpanKind.CLIENT,
    name,
    attributes: () => rpcAttributes(GRPC, name, serverOf(client)),
    message: { system: GRPC, destination: name },
    request: () => requestOf(client, method),
    hasSpan: () => '__wrapped' in method && method.__wrapped === true,
  };
}

function serverOf(client: GrpcClient): ServerAddress | undefined {
  const target = client.getChannel?.().getTarget?.();
  return typeof target === 'string' ? grpcServer(target) : undefined;
}

/** Returns undefined for Unix sockets and lists of addresses: they have no host for rules. */
function requestOf(client: GrpcClient, { path }: GrpcMethod): OutboundRequest | undefined {
  const { address = '', port = DEFAULT_PORT } = serverOf(client) ?? {};
  const origin = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  return address.includes('/') || !URL.canParse(path, origin) ? undefined : { method: 'POST', url: new URL(path, origin) };
}

/** gRPC uses this port if the target names none. */
const DEFAULT_PORT = 443;

interface ClientCall extends EventEmitter {
  getPeer?(): unknown;
}

/** One call, until its status comes in. */
class OutgoingCall {
  private made: ClientCall | undefined;
  private isCancelledHere = false;
  private thrown: unknown;

  constructor(
    private readonly work: OutboundWork,
    private readonly caller: Context,
  ) {}

  /** Wraps the callback of a call without response stream. It runs in the caller's context, after the span has ended. */
  answering(callback: Callback): Callback {
    const { caller, over } = this;
    return function (...args) {
      const [error] = args;
      over(!error ? { code: GRPC_CODE.OK } : isGrpcStatus(error) ? error : { code: GRPC_CODE.UNKNOWN });
      return context.with(caller, callback, this, ...args);
    };
  }

  follow(made: unknown): void {
    const { caller, work } = this;
    if (typeof made !== 'object' || made === null || !('emit' in made)) return;
    if (caller === ROOT_CONTEXT && work.context === caller) return;
    this.made = made as ClientCall;
    // Wraps `emit` and adds no listeners: an 'error' listener would mark errors as handled, and Nest removes all listeners.
    emitInContext(this.made, caller, (event, value) => this.saw(event, value));
    replaceMethod(made, 'cancel', cancel => {
      const cancelled = (): void => {
        this.isCancelledHere = true;
      };
      return function (...args) {
        cancelled();
        return cancel.apply(this, args);
      };
    });
  }

  private saw(event: unknown, value: unknown): void {
    if (event === 'status' && isGrpcStatus(value)) this.over(value);
    else if (event === 'end') this.over({ code: GRPC_CODE.OK });
    else if (event !== 'error') return;
    else if (isGrpcStatus(value)) this.over(value);
    // The caller's request stream failed: Nest emits its error here and cancels the call.
    else this.thrown = value;
  }

  private readonly over = (status: GrpcStatus): void => {
    this.work.endWith(span => {
      span.setAttributes(grpcPeer(this.made?.getPeer?.()) ?? {});
      // A caller may cancel because it wants no more values. That is no failure.
      const isWanted =
        status.code === GRPC_CODE.OK || (status.code === GRPC_CODE.CANCELLED && this.isCancelledHere && this.thrown === undefined);
      if (isWanted) recordGrpcStatus(span, status);
      else recordCalledStatus(span, status, this.thrown);
    });
  };
}
