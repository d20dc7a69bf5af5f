/** Traces the calls of an Apollo Federation gateway to its subgraphs: each data source has its own `fetcher` function. */
import { context } from '@opentelemetry/api';
import { type Method, replaceMethod } from '../../wrapping/replace-method.js';
import { inBackground } from '../../spans/context.js';
import { workIn } from '../../spans/work.js';
import { type HttpLibrary, isHttpInstrumented, startHttpCall } from './http-call.js';
import { installOnce } from '../../wrapping/shared-installation.js';

const SUBGRAPH = Symbol.for('nestjs-tracing/subgraph-calls');

/** A call of the data source, with the arguments of `fetch`. */
interface FetcherCall {
  readonly url: unknown;
  readonly method: unknown;
  readonly headers: Record<string, unknown>;
}

interface FetcherResponse {
  readonly status?: unknown;
  readonly headers?: Iterable<readonly [string, string]>;
}

const fetcherLibrary: HttpLibrary<FetcherCall, FetcherResponse> = {
  request({ url, method }) {
    const target = String(url);
    return URL.canParse(target) ? { method: typeof method === 'string' ? method.toUpperCase() : 'GET', url: new URL(target) } : undefined;
  },
  // Apollo's data sources call through node:http. If one calls through undici, our listener there sees that the call has a span.
  isTracedElsewhere: isHttpInstrumented,
  headers: {
    keys: ({ headers }) => Object.keys(headers),
    get({ headers }, name) {
      const key = Object.keys(headers).find(candidate => candidate.toLowerCase() === name);
      const value = key === undefined ? undefined : headers[key];
      return typeof value === 'string' ? value : undefined;
    },
    set({ headers }, name, value) {
      for (const key of Object.keys(headers)) if (key.toLowerCase() === name) Reflect.deleteProperty(headers, key);
      headers[name] = value;
    },
  },
  answer: ({ status }) => ({ statusCode: Number(status) }),
  responseHeaders: ({ headers }) => Object.fromEntries(headers ?? []),
};

/**
 * Traces the calls that a data source makes during a request. Skips data sources without a `fetcher`, or whose `fetcher` is global fetch
 * (traced elsewhere). Calls of the gateway outside requests, such as for schemas, get no span. Returns the undo function. @internal
 */
export function traceSubgraph(dataSource: object): () => void {
  const fetcher: unknown = Reflect.get(dataSource, 'fetcher');
  if (typeof fetcher !== 'function' || fetcher === globalThis.fetch) return () => undefined;
  return installOnce(dataSource, SUBGRAPH, () => replaceMethod(dataSource, 'fetcher', tracingFetcher));
}

function tracingFetcher(fetcher: Method): Method {
  return function (url, given, ...rest) {
    const active = context.active();
    const init = (typeof given === 'object' && given !== null ? given : {}) as { method?: unknown; headers?: unknown };
    const headers = headersOf(init.headers);
    if (workIn(active) === undefined) return context.with(inBackground(active), () => fetcher.call(this, url, given, ...rest));
    if (headers === undefined) return fetcher.call(this, url, given, ...rest);
    const call = startHttpCall(fetcherLibrary, { url, method: init.method, headers });
    const send = (): unknown => fetcher.call(this, url, { ...init, headers }, ...rest);
    if (call === undefined) return send();
    const fail = (thrown: unknown): void => {
      if ((thrown as { name?: unknown } | null | undefined)?.name === 'AbortError') call.cancelled();
      else call.failed(thrown);
    };
    let answer: unknown;
    try {
      answer = context.with(call.mark(active), send);
    } catch (thrown) {
      fail(thrown);
      throw thrown;
    }
    Promise.resolve(answer).then(response => call.answered(response as FetcherResponse), fail);
    return answer;
  };
}

/** Returns a copy of the headers, to write into. Returns undefined if they cannot be read. */
function headersOf(headers: unknown): Record<string, unknown> | undefined {
  if (headers === undefined) return {};
  if (typeof headers !== 'object' || headers === null) return undefined;
  return Symbol.iterator in headers ? Object.fromEntries(headers as Iterable<[string, unknown]>) : { ...headers };
}
