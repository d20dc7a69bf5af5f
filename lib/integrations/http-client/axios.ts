/** Traces calls through axios: wraps the adapter of an instance, so that each attempt to send has one span. */
import { context } from '@opentelemetry/api';
import { messages } from '../../options/messages.js';
import { withoutOtherSpans } from '../../spans/outbound.js';
import { outboundRulesOf } from '../../spans/outbound-rules.js';
import { applicationIn, type TracingApplication } from '../../spans/work.js';
import { replace, type Undo } from '../../wrapping/replace-method.js';
import { installForGood, installOnce } from '../../wrapping/shared-installation.js';
import { isClientFailure } from './attributes.js';
import {
  type Adapter,
  AxiosAccess,
  type AxiosCall,
  type AxiosConfig,
  type AxiosInstance,
  axiosLibrary,
  type AxiosResponse,
  isAxiosInstance,
  isObject,
  type Route,
  routeOf,
} from './axios-library.js';
import { type HttpCall, startHttpCall } from './http-call.js';

/** Marks wrapped adapters and instances, so that two copies of this library do not wrap twice. */
const TRACED = Symbol.for('nestjs-tracing/axios');

/**
 * Traces an axios instance that Nest does not own: each attempt gets a CLIENT span and sends the trace headers. Spans follow the semantic
 * conventions for HTTP clients. Returns the same instance; a second call changes nothing. Instances of `HttpService` are traced already.
 *
 * @throws TypeError if `instance` is not an axios instance.
 * @example
 * const users = traceAxios(axios.create({ baseURL: 'http://users:3002' }));
 *
 * @publicApi
 */
export function traceAxios<T extends { readonly interceptors: object }>(instance: T): T {
  if (!isAxiosInstance(instance)) throw new TypeError(messages.notAnAxiosInstance(instance));
  return installForGood(instance, installOn);
}

/** Installs the interceptor once per instance. Returns the undo function: its last call removes the interceptor. @internal */
export function installOn(instance: AxiosInstance): Undo {
  return installOnce(instance, TRACED, () => install(instance));
}

function install(instance: AxiosInstance): Undo {
  const access = new AxiosAccess(instance);
  const { request } = instance.interceptors;
  // Synchronous, because an asynchronous interceptor costs each request one more turn of the promise queue.
  const id = request.use(wrapAdapter, undefined, { synchronous: true });
  function wrapAdapter(config: AxiosConfig): AxiosConfig {
    if (isObject(config) && !isTraced(config.adapter)) config.adapter = tracingAdapter(access, config.adapter, 0);
    return config;
  }
  return () => {
    // After interceptors.request.clear(), another interceptor may have this id.
    if (request.handlers?.some(handler => handler?.fulfilled === wrapAdapter) !== false) request.eject(id);
  };
}

/** An adapter that opens the span of one attempt. Its JSON is that of the user's adapter. */
interface TracingAdapter extends Adapter {
  [TRACED]?: unknown;
  toJSON?: () => unknown;
}

/** `resends`: how often the request was sent before. */
function tracingAdapter(access: AxiosAccess, original: unknown, resends: number): TracingAdapter {
  const adapter: TracingAdapter = config => send(access, original, config, resends);
  adapter[TRACED] = original;
  adapter.toJSON = originalAdapter;
  return adapter;
}

function originalAdapter(this: TracingAdapter): unknown {
  return this[TRACED];
}

function isTraced(adapter: unknown): boolean {
  return typeof adapter === 'function' && TRACED in adapter;
}

/** Sends one attempt. Runs after all interceptors and transformations, so the span and the headers show the final request. */
function send(access: AxiosAccess, original: unknown, config: AxiosConfig, resends: number): unknown {
  // Responses and errors hold this config: users must see their own adapter in it.
  if (original === undefined) delete config.adapter;
  else config.adapter = original;
  const adapter = access.adapterFor(original, config);
  const route = routeOf(original);
  const call: AxiosCall = { config, access, route, isCarrying: false };
  const started = startHttpCall(axiosLibrary, call, resends);
  const release = call.isCarrying ? confineRedirects(call, started) : undefined;
  if (started === undefined && release === undefined) return adapter(config);

  const onAnswer = (response: unknown) => {
    release?.();
    started?.answered(response as AxiosResponse);
  };
  const onFailure = (error: unknown) => {
    release?.();
    if (started === undefined) return;
    // Code that sends the config of the error again makes another attempt of the same call.
    if (!endFailed(started, error, config)) config.adapter = tracingAdapter(access, original, resends + 1);
  };
  let answer: unknown;
  try {
    answer = started === undefined ? adapter(config) : run(started, route, adapter, config);
  } catch (error) {
    onFailure(error);
    throw error;
  }
  // Not part of the caller's promise chain, which stays as long as it was. Both run before the callbacks of axios and the user.
  const promise = answer instanceof Promise ? answer : Promise.resolve(answer);
  promise.then(onAnswer, onFailure);
  return promise;
}

/**
 * Calls the adapter. The span does not become active: events of a response stream would keep it active long after its end. For fetch, other
 * spans are suppressed. For node:http and for a custom adapter, only different calls get spans. If calls through node:http are not traced,
 * no context is needed, which saves time.
 */
function run(started: HttpCall, route: Route, adapter: Adapter, config: AxiosConfig): unknown {
  if (route === 'http' && applicationIn()?.outbound.http !== true) return adapter(config);
  if (route === 'fetch') return withoutOtherSpans(() => adapter(config));
  return context.with(started.mark(context.active()), adapter, undefined, config);
}

interface Rejection {
  readonly __CANCEL__?: unknown;
  readonly code?: unknown;
  readonly response?: AxiosResponse;
}

/** Ends the span of a rejected call. Returns true if the caller cancelled the call. */
function endFailed(call: HttpCall<AxiosCall, AxiosResponse>, error: unknown, { signal }: AxiosConfig): boolean {
  try {
    const { __CANCEL__, code, response } = (isObject(error) ? error : {}) as Rejection;
    if (__CANCEL__ === true || code === 'ERR_CANCELED') {
      const reason = signal?.aborted === true ? signal.reason : undefined;
      // AbortSignal.timeout() means a missed deadline. The caller did not cancel.
      const isTimeout = isObject(reason) && 'name' in reason && reason.name === 'TimeoutError';
      if (isTimeout) call.failed(reason);
      else call.cancelled();
      return !isTimeout;
    }
    if (!isObject(response)) call.failed(error);
    // The body of a successful response broke off: its status is known and is not the failure.
    else if (isClientFailure(Number(response.status)) || response.data !== undefined) call.answered(response);
    else call.failed(error, response);
  } catch {
    // A getter or proxy threw, so nothing more can be read.
    call.failed(error);
  }
  return false;
}

interface RedirectOptions {
  readonly href?: string;
  readonly method?: string;
  readonly headers?: Record<string, unknown>;
}

/** Removes our headers from a redirect if `outbound.propagateTo` does not allow its host: the adapter resends all headers. */
function confineRedirects({ config, route }: AxiosCall, started: HttpCall | undefined): Undo | undefined {
  const application = applicationIn();
  if (application?.outbound.propagateTo === undefined || route === 'fetch') return undefined;
  const { beforeRedirect } = config;
  return replace(config, 'beforeRedirect', (options: RedirectOptions, ...rest: unknown[]) => {
    if (!mayReceive(application, options)) {
      started?.withhold();
      removeHeaders(options.headers, application.propagator.fields());
    }
    if (typeof beforeRedirect === 'function') Reflect.apply(beforeRedirect, undefined, [options, ...rest]);
  });
}

function mayReceive({ outbound }: TracingApplication, { href, method = 'GET' }: RedirectOptions): boolean {
  return (
    href !== undefined &&
    URL.canParse(href) &&
    outboundRulesOf(outbound)?.receivesHeaders({ request: () => ({ method, url: new URL(href) }) }) !== false
  );
}

function removeHeaders(headers: Record<string, unknown> = {}, names: readonly string[]): void {
  for (const name of Object.keys(headers)) {
    if (names.includes(name.toLowerCase())) Reflect.deleteProperty(headers, name);
  }
}
