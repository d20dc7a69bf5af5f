/**
 * Stores the work of a request on the request itself, because the active context may belong to another request. Runs listeners of the
 * request's and response's events in the context of that work.
 */
import { EventEmitter } from 'node:events';
import { type Attributes, type Context, context, createContextKey } from '@opentelemetry/api';
import type { InboundWork } from '../../spans/inbound-work.js';
import { attach, SLIM_ROOT } from '../../spans/context.js';
import { type TracingApplication, withWork, type Work, workIn } from '../../spans/work.js';
import { replaceMethod } from '../../wrapping/replace-method.js';

/** The context key under which OpenTelemetry's server instrumentations keep `{ span, route }` of a request. */
export const RPC_METADATA = createContextKey('OpenTelemetry SDK Context Key RPC_METADATA');

/** A traced request. The server, the router and streams report to it. */
export interface TracedRequest extends InboundWork {
  /** A route matches by its path. A header or the host may still select another route. */
  perhapsRouted(route: string | undefined): void;
  /** The route that was passed to {@link perhapsRouted} serves the request. */
  decided(route: string | undefined, attributes: Attributes): void;
  /** No route matches. */
  unmatched(): void;
  /** The stream of the response body broke. The handler and the exception filters do not hear of that. */
  sourceBroke(thrown: unknown): void;
}

/** The work of one HTTP request, traced or not. */
export interface RequestWork extends Work {
  /** Undefined if the request is not traced. */
  readonly inbound?: TracedRequest;
  /** The context in which everything for this request runs. */
  readonly context: Context;
  /** The context of the request that was active in our last hook: {@link context}, or one that middleware derived from it. */
  reached?: Context | undefined;
  /** The work of the same request in an application that is mounted in this one. */
  mounted?: RequestWork | undefined;
  /** The template of the path at which the application is mounted. Undefined if it is unknown. */
  readonly mount?: string | undefined;
  /** How many `finish` listeners the response had when the request came in. Most are Node's own and need no context. */
  finishListeners?: number;
  /** Called when the response is over. */
  close?(): void;
}

/** The work of a request in a mounted application. The span belongs to the outer application. */
export class MountedRequest implements RequestWork {
  readonly context: Context;
  reached: Context | undefined = undefined;
  mounted: RequestWork | undefined = undefined;

  constructor(
    readonly application: TracingApplication,
    readonly inbound: TracedRequest,
    readonly mount: string | undefined,
    active: Context,
  ) {
    this.context = withWork(active, this);
  }

  get passthrough(): Context | undefined {
    return this.inbound.passthrough;
  }
}

const WORK = Symbol('nestjs-tracing/request-work');

interface Known {
  readonly [WORK]?: RequestWork;
  /** Fastify's request holds Node's request here. */
  readonly raw?: { readonly [WORK]?: RequestWork } | undefined;
}

/** Returns the work of `request`. It must be the request of Node, Express or an injection: for Fastify, pass `raw`. */
export function requestWork(request: object): RequestWork | undefined {
  return (request as Known)[WORK];
}

/** Returns the work of `request` (of any framework) in `application`. Returns that of the outermost application if there is none. */
export function requestWorkIn(request: unknown, application: TracingApplication): RequestWork | undefined {
  if (typeof request !== 'object' || request === null) return undefined;
  const work = (request as Known)[WORK] ?? (request as Known).raw?.[WORK];
  if (work === undefined || work.application === application) return work;
  let mounted = work.mounted;
  while (mounted !== undefined && mounted.application !== application) mounted = mounted.mounted;
  return mounted ?? work;
}

/** Stores `work` for {@link requestWork}. Uses a plain property: a non-enumerable one, or a WeakMap, is thirty times slower. */
export function setRequestWork(request: object, work: RequestWork): void {
  (request as { [WORK]?: RequestWork })[WORK] = work;
}

/**
 * Returns the context to continue in if the active context does not belong to the request of `work`. Middleware, stores and hooks may delay
 * a request and continue it from another request, a timer or a socket. Returns undefined if the active context is right.
 */
export function contextToReturnTo(work: RequestWork | undefined): Context | undefined {
  const active = context.active();
  const current = workIn(active);
  if (current === work || (work !== undefined && current?.within === work)) {
    if (work !== undefined) work.reached = active;
    return undefined;
  }
  if (work !== undefined) return work.reached ?? work.context;
  // The request has no work, so it must not run in the context of another request.
  return (current as Partial<RequestWork> | undefined)?.context === undefined ? undefined : SLIM_ROOT;
}

type Emitter = Pick<EventEmitter, 'emit' | 'listenerCount'>;
type Emit = EventEmitter['emit'];

/**
 * Stores `work` on `request` and `response`, and makes both emit their events in its context. Listeners are not wrapped: this saves a
 * function for each, and a listener that is bound to a context keeps that context.
 */
export function emitInWork(request: object, response: object, work: RequestWork): void {
  setRequestWork(request, work);
  setRequestWork(response, work);
  work.finishListeners = (response as Emitter).listenerCount('finish');
  replaceEmit(request as Emitter, emitOfRequest, emitFrom);
  replaceEmit(response as Emitter, emitOfResponse, emitFromResponse);
}

/** Sets the shared function `replacement` as a plain property. Only an emitter with its own `emit` gets a new function. */
function replaceEmit(emitter: Emitter, replacement: Emit, emitFromIt: typeof emitFrom): void {
  if (emitter.emit === emitPlainly) emitter.emit = replacement;
  else {
    replaceMethod(emitter, 'emit', emit => {
      return function (...args) {
        return emitFromIt(emit as Emit, this as Emitter, args as unknown as Parameters<Emit>);
      };
    });
  }
}

const emitPlainly = EventEmitter.prototype.emit;

// Passes `arguments` on unchanged: rest parameters would create an array for each of the five events of every request.
const emitOfRequest: Emit = function (this: Emitter) {
  return emitFrom(emitPlainly, this, arguments as unknown as Parameters<Emit>);
};

const emitOfResponse: Emit = function (this: Emitter) {
  return emitFromResponse(emitPlainly, this, arguments as unknown as Parameters<Emit>);
};

/** Ends the span after all `close` listeners have run. */
function emitFromResponse(emit: Emit, response: Emitter, args: Parameters<Emit>): boolean {
  if (args[0] !== 'close') return emitFrom(emit, response, args);
  try {
    return emitFrom(emit, response, args);
  } finally {
    requestWork(response)?.close?.();
  }
}

function emitFrom(emit: Emit, emitter: Emitter, args: Parameters<Emit>): boolean {
  const count = emitter.listenerCount(args[0]);
  const work = count === 0 ? undefined : requestWork(emitter);
  const isHeard = work !== undefined && (args[0] !== 'finish' || count !== work.finishListeners);
  const ctx = isHeard ? contextOfEvent(work) : undefined;
  const attached = ctx && attach(ctx);
  if (ctx !== undefined && attached === undefined) return context.with(ctx, emit, emitter, ...args);
  try {
    return Reflect.apply(emit, emitter, args);
  } finally {
    attached?.dispose();
  }
}

/** Returns the context in which to emit an event of a request. Returns undefined if a context of the request is active already. */
function contextOfEvent(work: RequestWork): Context | undefined {
  const current = workIn();
  let last = work;
  for (let part: RequestWork | undefined = work; part !== undefined; part = part.mounted) {
    if (current === part || current?.within === part) return undefined;
    last = part;
  }
  return last.reached ?? last.context;
}
