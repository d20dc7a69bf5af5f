/** gRPC calls that leave through Nest's gRPC client: each in its span from call to status, with the headers in its Metadata. */
import type { EventEmitter } from 'node:events';
import { types } from 'node:util';
import { type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import {
  GRPC,
  GRPC_CANCELLED,
  GRPC_OK,
  GRPC_UNKNOWN,
  grpcMethod,
  grpcPeer,
  grpcServer,
  type GrpcStatus,
  isGrpcStatus,
  recordCalledStatus,
  recordGrpcStatus,
} from '../conventions/grpc.js';
import { rpcAttributes, type ServerAddress } from '../conventions/rpc.js';
import { emitInContext } from '../local/emit-in-context.js';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import { NO_SPAN } from '../local/run-in-span.js';
import type { RunningSpan } from '../local/running-span.js';
import { reportTrouble } from '../local/trouble.js';
import { applicationIn, relayIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { callRulesOf } from './call-rules.js';
import { type Departure, openDeparture, outgoingHeaders } from './departure.js';
import { type Callback, type GrpcClient, type GrpcMethod, readCall } from './grpc-arguments.js';

/** Nest's gRPC client: it keeps a client of @grpc/grpc-js per service, and its services look up the methods of those at each call. */
interface GrpcClientProxy {
  readonly clients: Map<unknown, GrpcClient>;
  createClientByServiceName(name: unknown): GrpcClient;
}

/** Whether something is Nest's gRPC client, of whichever copy of @nestjs/microservices. */
export function isGrpcClientProxy(client: object): client is GrpcClientProxy {
  const { clients } = client as { clients?: unknown };
  return types.isMap(clients) && ['getService', 'getClientByServiceName', 'createClientByServiceName'].every(name => name in client);
}

/** Traces the calls of all services that the client has, and will have; returns what ends it. */
export function traceGrpcClient(proxy: GrpcClientProxy): () => void {
  const traced = new WeakMap<GrpcClient, () => void>();
  // Weak: a proxy that is closed and used again makes others, and forgets these.
  const clients: WeakRef<GrpcClient>[] = [];
  const trace = (client: GrpcClient): GrpcClient => {
    if (typeof client === 'object' && !traced.has(client)) {
      traced.set(client, traceMethods(client));
      clients.push(new WeakRef(client));
    }
    return client;
  };
  for (const client of proxy.clients.values()) trace(client);
  const end = replaceMethod(proxy, 'createClientByServiceName', create => {
    return function (...args) {
      return trace(create.apply(this, args) as GrpcClient);
    };
  });
  return () => {
    end();
    for (const reference of clients) {
      const client = reference.deref();
      if (client !== undefined) traced.get(client)?.();
    }
  };
}

function traceMethods(client: GrpcClient): () => void {
  const steps: (() => void)[] = [];
  // Enumerable and with a path: what was generated from the service's definition, under both of its names.
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
  // Who makes the span also writes the headers, except those of a request that is not traced.
  const isTracedElsewhere = '__wrapped' in method && method.__wrapped === true;
  const running = isTracedElsewhere ? undefined : openDeparture(() => departureOf(client, method), caller);
  const ctx = running?.context ?? caller;
  const departing = new DepartingCall(running, caller);
  const isCarried = !isTracedElsewhere || relayIn(caller) !== undefined;
  let args = given;
  try {
    const read = readCall(client, method, given);
    const headers = isCarried && read !== undefined ? headersOf(client, method, read.existing(), ctx) : undefined;
    if (read !== undefined) args = read.args(headers, callback => departing.answering(callback));
  } catch (error) {
    reportTrouble('outbound.message', messages.messageNotSentTraced(), error);
  }
  try {
    const made = context.with(ctx, method, client, ...args);
    departing.follow(made);
    return made;
  } catch (thrown) {
    running?.fail(thrown);
    throw thrown;
  }
}

function departureOf(client: GrpcClient, method: GrpcMethod): Departure {
  const destination = grpcMethod(method.path);
  return {
    message: { system: GRPC, destination },
    kind: SpanKind.CLIENT,
    name: destination,
    attributes: () => rpcAttributes(GRPC, destination, serverOf(client)),
  };
}

function serverOf(client: GrpcClient): ServerAddress | undefined {
  const target = client.getChannel?.().getTarget?.();
  return typeof target === 'string' ? grpcServer(target) : undefined;
}

function headersOf(client: GrpcClient, method: GrpcMethod, existing: object | undefined, ctx: Context): Record<string, string> | undefined {
  const outbound = applicationIn(ctx)?.outbound;
  const rules = outbound && callRulesOf(outbound);
  if (rules !== undefined && outbound?.propagateTo !== undefined) {
    const { address = '', port = DEFAULT_PORT } = serverOf(client) ?? {};
    const origin = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
    // Sockets in the file system and lists of addresses have no host that a rule could name.
    if (!URL.canParse(method.path, origin) || !rules.receivesHeaders({ method: 'POST', url: new URL(method.path, origin) })) {
      return undefined;
    }
  }
  return outgoingHeaders(existing, ctx);
}

/** Of gRPC, where a target names none. */
const DEFAULT_PORT = 443;

interface ClientCall extends EventEmitter {
  getPeer?(): unknown;
}

/** One call until its status is there. */
class DepartingCall {
  private made: ClientCall | undefined;
  private isCancelledHere = false;
  private thrown: unknown;

  constructor(
    private readonly running: RunningSpan | undefined,
    private readonly caller: Context,
  ) {}

  /** The callback of a call without response stream; it is called in the caller's context, after the span has ended. */
  answering(callback: Callback): Callback {
    const { caller } = this;
    const over = (status: GrpcStatus): void => this.over(status);
    return function (...args) {
      const [error] = args;
      over(!error ? { code: GRPC_OK } : isGrpcStatus(error) ? error : { code: GRPC_UNKNOWN });
      return context.with(caller, callback, this, ...args);
    };
  }

  follow(made: unknown): void {
    const { running, caller } = this;
    if (typeof made !== 'object' || made === null || !('emit' in made)) return;
    if (running === undefined || (running.span === NO_SPAN && caller === ROOT_CONTEXT)) return;
    this.made = made as ClientCall;
    // Nothing is listened to: a listener for errors would have them handled, and Nest removes all listeners.
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
    else if (event === 'end') this.over({ code: GRPC_OK });
    else if (event !== 'error') return;
    else if (isGrpcStatus(value)) this.over(value);
    // The caller's own stream broke down: Nest passes that on and cancels the call.
    else this.thrown = value;
  }

  private over(status: GrpcStatus): void {
    const { running, thrown } = this;
    if (running === undefined || running.hasEnded) return;
    const { span } = running;
    try {
      if (span.isRecording()) {
        span.setAttributes(grpcPeer(this.made?.getPeer?.()) ?? {});
        // Who wants no more values has not failed.
        const isWanted = status.code === GRPC_OK || (status.code === GRPC_CANCELLED && this.isCancelledHere && thrown === undefined);
        if (isWanted) recordGrpcStatus(span, status);
        else recordCalledStatus(span, status, thrown);
      }
    } catch (error) {
      reportTrouble('outbound.message', messages.messageNotSentTraced(), error);
    }
    running.end();
  }
}
