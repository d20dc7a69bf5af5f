/** What one axios call tells about itself: where it goes, what it carries, what came back. */
import type { ClientAnswer, ClientRequest } from '../conventions/http-client.js';
import type { OutboundResponse } from '../tracing.options.js';
import type { AxiosAccess, AxiosConfig } from './axios-instance.js';
import type { Exit } from './client-span.js';
import { isHttpInstrumented } from './other-instrumentation.js';

/** How a call gets onto the wire: by node:http, by fetch, or by a function somebody wrote. */
export type Route = 'http' | 'fetch' | 'custom';

export interface AxiosCall {
  readonly config: AxiosConfig;
  readonly access: AxiosAccess;
  readonly route: Route;
  /** Set as soon as headers were written. */
  isCarrying: boolean;
}

/** The parts of an answer that matter to tracing; mock adapters and other people's adapters leave most of them out. */
export interface AxiosResponse {
  readonly status?: unknown;
  readonly headers?: unknown;
  readonly data?: unknown;
  readonly request?: unknown;
}

interface NodeRequest {
  readonly res?: { readonly httpVersion?: string };
  readonly socket?: { readonly remoteAddress?: string; readonly remotePort?: number } | null;
  /** follow-redirects, which axios calls through. */
  readonly _redirectable?: { readonly _redirectCount?: number };
}

interface AxiosHeaders {
  get?(name: string): unknown;
  set?(name: string, value: string): unknown;
  toJSON?(): object;
}

export const axiosExit: Exit<AxiosCall, AxiosResponse> = {
  request({ access, config }: AxiosCall): ClientRequest | undefined {
    const socketPath = typeof config.socketPath === 'string' ? config.socketPath : undefined;
    const url = urlOf(access, config, socketPath);
    // Others, like `data:`, never leave the process.
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined;
    return { method: (config.method ?? 'get').toUpperCase(), url, socketPath };
  },

  isTracedElsewhere({ config, route }: AxiosCall): boolean {
    if (route === 'fetch' || Number(config.httpVersion ?? 1) === 2) return false;
    return isHttpInstrumented();
  },

  headers: {
    keys: ({ config }) => Object.keys(config.headers ?? {}),
    get({ config }, name) {
      const { headers } = config;
      const value = isHeaders(headers) && typeof headers.get === 'function' ? headers.get(name) : undefined;
      if (Array.isArray(value)) return value.map(String);
      return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
    },
    set(call, name, value) {
      const { headers } = call.config;
      call.isCarrying = true;
      if (isHeaders(headers) && typeof headers.set === 'function') headers.set(name, value);
    },
  },

  answer({ request, status }: AxiosResponse): ClientAnswer {
    const { res, socket, _redirectable } = (typeof request === 'object' && request !== null ? request : {}) as NodeRequest;
    return {
      statusCode: Number(status),
      redirects: _redirectable?._redirectCount,
      peerAddress: socket?.remoteAddress,
      peerPort: socket?.remotePort,
      protocolVersion: res?.httpVersion,
    };
  },

  responseHeaders(response: AxiosResponse): OutboundResponse['headers'] {
    const { headers } = response;
    if (!isHeaders(headers)) return {};
    const lower: Record<string, string | readonly string[]> = {};
    for (const [name, value] of Object.entries(typeof headers.toJSON === 'function' ? headers.toJSON() : headers) as [string, unknown][]) {
      if (Array.isArray(value)) lower[name.toLowerCase()] = value.map(String);
      else if (typeof value === 'string' || typeof value === 'number') lower[name.toLowerCase()] = String(value);
    }
    return lower;
  },
};

/** Where the adapter of a config leads; in Node, of a list of names the first that is not the browser's is taken. */
export function routeOf(adapter: unknown): Route {
  for (const one of Array.isArray(adapter) ? (adapter as unknown[]) : [adapter]) {
    if (typeof one === 'function') return 'adapterName' in one && one.adapterName === 'http' ? 'http' : 'custom';
    if (typeof one === 'string' && one.toLowerCase() === 'fetch') return 'fetch';
    if (typeof one === 'string' && one.toLowerCase() === 'http') return 'http';
  }
  return 'http';
}

function urlOf(access: AxiosAccess, config: AxiosConfig, socketPath: string | undefined): URL | undefined {
  try {
    return new URL(access.uriOf(config), socketPath === undefined ? undefined : 'http://localhost');
  } catch {
    // Neither can axios make sense of it, and says so to its caller.
    return undefined;
  }
}

function isHeaders(value: unknown): value is AxiosHeaders {
  return typeof value === 'object' && value !== null;
}
