/** Reads what tracing needs from axios: the copy that made an instance, the adapter of a call, and the fields of config and response. */
import { replace, undoAll } from '../../wrapping/replace-method.js';
import { type HttpLibrary, isHttpInstrumented } from './http-call.js';

/** The parts of a request's config that matter to tracing. */
export interface AxiosConfig {
  adapter?: unknown;
  method?: string;
  url?: string;
  baseURL?: string;
  allowAbsoluteUrls?: boolean;
  params?: unknown;
  paramsSerializer?: unknown;
  headers?: AxiosHeaders | null;
  httpVersion?: unknown;
  socketPath?: unknown;
  signal?: { readonly aborted?: boolean; readonly reason?: unknown };
  beforeRedirect?: unknown;
  /** Returns the config that the bare instance (see below) must use without merging. */
  take?: () => AxiosConfig;
}

/** An axios instance, recognized by its members: a process may have several copies of axios, or none. */
export interface AxiosInstance {
  readonly defaults: Record<string, unknown>;
  readonly interceptors: {
    readonly request: {
      readonly handlers?: readonly ({ readonly fulfilled?: unknown } | null)[] | null;
      use(fulfilled: (config: AxiosConfig) => AxiosConfig, rejected: undefined, options: { readonly synchronous: true }): number;
      eject(id: number): void;
    };
  };
  readonly constructor: Function;
  create?(): AxiosInstance;
  getAdapter?: GetAdapter;
  getUri(config: AxiosConfig): string;
  request(config: AxiosConfig): Promise<unknown>;
  _request?(config: AxiosConfig): Promise<unknown>;
}

/** Sends a call. It may be the user's own function and return anything. */
export type Adapter = (config: AxiosConfig) => unknown;

type GetAdapter = (adapter: unknown, config: AxiosConfig) => Adapter;

/** The key is the prototype of the interceptor manager. Two instances share it only if the same copy of axios made them. */
const resolvers = new WeakMap<object, GetAdapter>();

export function isAxiosInstance(value: unknown): value is AxiosInstance {
  if ((typeof value !== 'function' && typeof value !== 'object') || value === null) return false;
  const { defaults, interceptors, getUri } = value as Partial<AxiosInstance>;
  const { use, eject } = interceptors?.request ?? {};
  return typeof defaults === 'object' && typeof getUri === 'function' && typeof use === 'function' && typeof eject === 'function';
}

/** Remembers `getAdapter` of axios itself (1.5 and newer) for its instances, which do not have this method. */
export function learnAdapters(axios: AxiosInstance): void {
  if (typeof axios.getAdapter === 'function') resolvers.set(copyOf(axios), axios.getAdapter);
}

export class AxiosAccess {
  /** An instance of the same copy of axios, without defaults. Created at first use. */
  private bare: AxiosInstance | undefined;

  constructor(private readonly instance: AxiosInstance) {
    learnAdapters(instance);
  }

  /** Returns the function for `adapter` (a function, a name or a list of both). Throws the same errors as axios. */
  adapterFor(adapter: unknown, config: AxiosConfig): Adapter {
    if (typeof adapter === 'function') return adapter as Adapter;
    const getAdapter = resolvers.get(copyOf(this.instance));
    if (getAdapter !== undefined && adapter !== undefined) return getAdapter(adapter, config);
    return named => this.dispatch(named);
  }

  /** Returns the URL that axios will call, with base URL and parameters. */
  uriOf(config: AxiosConfig): string {
    const { allowAbsoluteUrls, baseURL, params, paramsSerializer, url } = config;
    if (params === undefined && baseURL === undefined && url !== undefined) return url;
    return this.bareInstance().getUri({ url, baseURL, allowAbsoluteUrls, params, paramsSerializer });
  }

  /**
   * Lets axios look up an adapter by name and call it with this same config. Used if no `getAdapter` is known. The bare instance must not
   * transform: axios has transformed the request already, and will transform the response later.
   */
  private dispatch(config: AxiosConfig): Promise<unknown> {
    const bare = this.bareInstance();
    const restore = undoAll([replace(config, 'transformRequest', undefined), replace(config, 'transformResponse', undefined)]);
    // `request` does the same as `_request`, but adds our stack frames to every error.
    const answer = (bare._request ?? bare.request)({ take: () => config });
    answer.then(restore, restore);
    return answer;
  }

  private bareInstance(): AxiosInstance {
    if (this.bare !== undefined) return this.bare;
    const bare = this.instance.create?.() ?? (Reflect.construct(this.instance.constructor, [{}]) as AxiosInstance);
    for (const name of Object.keys(bare.defaults)) Reflect.deleteProperty(bare.defaults, name);
    bare.interceptors.request.use(config => config.take?.() ?? config, undefined, { synchronous: true });
    return (this.bare = bare);
  }
}

function copyOf({ interceptors }: AxiosInstance): object {
  return Object.getPrototypeOf(interceptors.request) as object;
}

/** How a call is sent: by node:http, by fetch, or by an adapter function of the user. */
export type Route = 'http' | 'fetch' | 'custom';

export interface AxiosCall {
  readonly config: AxiosConfig;
  readonly access: AxiosAccess;
  readonly route: Route;
  /** True after trace headers were written. */
  isCarrying: boolean;
}

/** The parts of a response that matter to tracing. Mocks and custom adapters may omit most of them. */
export interface AxiosResponse {
  readonly status?: unknown;
  readonly headers?: AxiosHeaders | null;
  readonly data?: unknown;
  readonly request?: unknown;
}

interface NodeRequest {
  readonly res?: { readonly httpVersion?: string };
  readonly socket?: { readonly remoteAddress?: string; readonly remotePort?: number } | null;
  /** Set by follow-redirects, through which axios calls. */
  readonly _redirectable?: { readonly _redirectCount?: number };
}

interface AxiosHeaders {
  get?(name: string): unknown;
  set?(name: string, value: string): unknown;
  toJSON?(): object;
}

export const axiosLibrary: HttpLibrary<AxiosCall, AxiosResponse> = {
  request({ access, config }) {
    const socketPath = typeof config.socketPath === 'string' ? config.socketPath : undefined;
    const url = urlOf(access, config, socketPath);
    // URLs with other protocols, like `data:`, make no network call.
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined;
    return { method: (config.method ?? 'get').toUpperCase(), url, socketPath };
  },

  isTracedElsewhere({ config, route }) {
    if (route === 'fetch' || Number(config.httpVersion ?? 1) === 2) return false;
    return isHttpInstrumented();
  },

  headers: {
    keys: ({ config }) => Object.keys(config.headers ?? {}),
    get({ config }, name) {
      const { headers } = config;
      return typeof headers?.get === 'function' ? textOf(headers.get(name)) : undefined;
    },
    set(call, name, value) {
      const { headers } = call.config;
      call.isCarrying = true;
      if (typeof headers?.set === 'function') headers.set(name, value);
    },
  },

  answer({ request, status }) {
    const { res, socket, _redirectable } = (isObject(request) ? request : {}) as NodeRequest;
    return {
      statusCode: Number(status),
      redirects: _redirectable?._redirectCount,
      peerAddress: socket?.remoteAddress,
      peerPort: socket?.remotePort,
      protocolVersion: res?.httpVersion,
    };
  },

  responseHeaders({ headers }) {
    if (!isObject(headers)) return {};
    const lower: Record<string, string | readonly string[]> = {};
    for (const [name, value] of Object.entries(typeof headers.toJSON === 'function' ? headers.toJSON() : headers)) {
      const text = textOf(value);
      if (text !== undefined) lower[name.toLowerCase()] = text;
    }
    return lower;
  },
};

/** Returns how the adapter of a config sends calls. From a list of names, axios takes the first that Node supports. */
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
    // Axios cannot parse it either, and reports that to the caller.
    return undefined;
  }
}

function textOf(value: unknown): string | string[] | undefined {
  if (Array.isArray(value)) return value.map(String);
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
