/** Calls that leave through axios: an interceptor wraps the adapter of each request, so that the span is that of one attempt on the wire. */
import { context } from '@opentelemetry/api';
import { isClientFailure } from '../conventions/http-client.js';
import { applicationIn, suppressed, type TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { callRulesOf } from './call-rules.js';
import { type AxiosCall, axiosExit, type AxiosResponse, type Route, routeOf } from './axios-call.js';
import { type Adapter, AxiosAccess, type AxiosConfig, type AxiosInstance, isAxiosInstance } from './axios-instance.js';
import { type ClientSpan, openClientSpan } from './client-span.js';
import { holdInstallation, installForGood } from './shared-installation.js';

/** On the wrapped adapter and on the instance, so that two copies of this library do not wrap twice. */
const TRACED = Symbol.for('nestjs-tracing/axios');

/**
 * Traces an axios instance that Nest does not own: a CLIENT span per attempt, and the trace headers on the wire. Returns the same
 * instance; calling it again changes nothing. Instances behind `HttpService` need no call.
 *
 * @example
 * const users = traceAxios(axios.create({ baseURL: 'http://users:3002' }));
 *
 * @publicApi
 */
export function traceAxios<T extends { readonly interceptors: object }>(instance: T): T {
  if (!isAxiosInstance(instance)) throw new TypeError(messages.notAnAxiosInstance(instance));
  return installForGood(instance, installOn);
}

/** Installs the interceptor where no one has yet; the last of those who asked for it removes it again. @internal */
export function installOn(instance: AxiosInstance): () => void {
  return holdInstallation(instance, TRACED, () => install(instance)).release;
}

function install(instance: AxiosInstance): { remove(): void } {
  const access = new AxiosAccess(instance);
  const { request } = instance.interceptors;
  // Synchronous: an interceptor that is not costs every request another turn of the promise queue.
  const id = request.use(wrapAdapter, undefined, { synchronous: true });
  function wrapAdapter(config: AxiosConfig): AxiosConfig {
    if (isObject(config) && !isTraced(config.adapter)) {
      config.adapter = tracingAdapter(access, config.adapter, 0);
    }
    return config;
  }
  return {
    remove() {
      // After interceptors.request.clear() the number may be somebody else's.
      if (request.handlers?.some(handler => handler?.fulfilled === wrapAdapter) !== false) request.eject(id);
    },
  };
}

/** An adapter that opens the span of one attempt; as JSON it looks like the adapter the user chose. */
interface TracingAdapter extends Adapter {
  [TRACED]?: unknown;
  toJSON?: () => unknown;
}

/** `resends` tells how often the request was sent before. */
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

/** Runs after every interceptor and transformation, so that nothing of the user's can change what the span says and the headers carry. */
function send(access: AxiosAccess, original: unknown, config: AxiosConfig, resends: number): unknown {
  // From here on users, in responses and errors, see the adapter they chose.
  if (original === undefined) delete config.adapter;
  else config.adapter = original;
  const adapter = access.adapterFor(original, config);
  const route = routeOf(original);
  const call: AxiosCall = { config, access, route, isCarrying: false };
  const span = openClientSpan(axiosExit, call, resends);
  const release = call.isCarrying ? confineRedirects(call) : undefined;
  if (span === undefined && release === undefined) return adapter(config);

  const onAnswer = (response: unknown) => {
    release?.();
    span?.answered(response as AxiosResponse);
  };
  const onFailure = (error: unknown) => {
    release?.();
    if (span === undefined) return;
    // Whoever sends the config of the error again makes another attempt at the same call.
    if (!endFailed(span, error, config)) config.adapter = tracingAdapter(access, original, resends + 1);
  };
  let answer: unknown;
  try {
    answer = span === undefined ? adapter(config) : run(span, route, adapter, config);
  } catch (error) {
    onFailure(error);
    throw error;
  }
  // Aside, so that the caller's chain gets no longer; these two run before what axios and the user attach to it.
  const promise = answer instanceof Promise ? answer : Promise.resolve(answer);
  promise.then(onAnswer, onFailure);
  return promise;
}

/**
 * The span is not made active: events of a response stream would carry it long after its end. Below fetch nobody may make a span for what
 * has one, below other people's adapters only for what is a call of its own; below node:http nobody asks, which saves an activation.
 */
function run(span: ClientSpan, route: Route, adapter: Adapter, config: AxiosConfig): unknown {
  if (route === 'http') return adapter(config);
  const parent = context.active();
  return context.with(route === 'fetch' ? suppressed(parent) : span.mark(parent), adapter, undefined, config);
}

interface Rejection {
  readonly __CANCEL__?: unknown;
  readonly code?: unknown;
  readonly response?: AxiosResponse;
}

/** Ends the span of a call that was rejected; tells whether that was what the caller wanted. */
function endFailed(span: ClientSpan<AxiosCall, AxiosResponse>, error: unknown, { signal }: AxiosConfig): boolean {
  try {
    const { __CANCEL__, code, response } = (isObject(error) ? error : {}) as Rejection;
    if (__CANCEL__ === true || code === 'ERR_CANCELED') {
      const reason = signal?.aborted === true ? signal.reason : undefined;
      // AbortSignal.timeout() is a deadline that was missed, not a change of mind.
      const isTimeout = isObject(reason) && 'name' in reason && reason.name === 'TimeoutError';
      if (isTimeout) span.failed(reason);
      else span.cancelled();
      return !isTimeout;
    }
    if (!isObject(response)) span.failed(error);
    // A good response without data broke off: its status is known and was not what failed.
    else if (isClientFailure(Number(response.status)) || response.data !== undefined) span.answered(response);
    else span.failed(error, response);
  } catch {
    // A getter or proxy that throws: more is not to be learned.
    span.failed(error);
  }
  return false;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

interface RedirectOptions {
  readonly href?: string;
  readonly method?: string;
  readonly headers?: Record<string, unknown>;
}

/** Redirects are followed inside the adapter, headers and all: takes ours off where `outbound.propagateTo` does not allow the next host. */
function confineRedirects({ config, route }: AxiosCall): (() => void) | undefined {
  const application = applicationIn();
  if (application?.outbound.propagateTo === undefined || route === 'fetch') return undefined;
  const { beforeRedirect } = config;
  config.beforeRedirect = (options: RedirectOptions, ...rest: unknown[]) => {
    if (!mayReceive(application, options)) removeHeaders(options.headers, application.propagator.fields());
    if (typeof beforeRedirect === 'function') Reflect.apply(beforeRedirect, undefined, [options, ...rest]);
  };
  return () => {
    if (beforeRedirect === undefined) delete config.beforeRedirect;
    else config.beforeRedirect = beforeRedirect;
  };
}

function mayReceive({ outbound }: TracingApplication, { href, method = 'GET' }: RedirectOptions): boolean {
  return href !== undefined && URL.canParse(href) && callRulesOf(outbound)?.receivesHeaders({ method, url: new URL(href) }) !== false;
}

function removeHeaders(headers: Record<string, unknown> = {}, names: readonly string[]): void {
  for (const name of Object.keys(headers)) {
    if (names.includes(name.toLowerCase())) Reflect.deleteProperty(headers, name);
  }
}
