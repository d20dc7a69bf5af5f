/** What an axios instance can be asked for beyond requests: the function that carries a call out and the full URL, by its own copy of axios. */

/** The parts of a request's config that matter to tracing. */
export interface AxiosConfig {
  adapter?: unknown;
  method?: string;
  url?: string;
  baseURL?: string;
  allowAbsoluteUrls?: boolean;
  params?: unknown;
  paramsSerializer?: unknown;
  headers?: unknown;
  httpVersion?: unknown;
  socketPath?: unknown;
  transport?: unknown;
  signal?: { readonly aborted?: boolean; readonly reason?: unknown };
  beforeRedirect?: unknown;
  transformRequest?: unknown;
  transformResponse?: unknown;
  /** How the bare instance below is handed a config it must not merge. */
  take?: () => AxiosConfig;
}

type Interceptor = (config: AxiosConfig) => AxiosConfig;

/** An axios instance, by shape: there may be several copies of axios in a process, or none. */
export interface AxiosInstance {
  readonly defaults: Record<string, unknown>;
  readonly interceptors: {
    readonly request: {
      readonly handlers?: readonly ({ readonly fulfilled?: unknown } | null)[] | null;
      use(fulfilled: Interceptor, rejected: undefined, options: { readonly synchronous: true }): number;
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

/** Carries a call out; it may be the user's own function, which may return anything. */
export type Adapter = (config: AxiosConfig) => unknown;

type GetAdapter = (adapter: unknown, config: AxiosConfig) => Adapter;

/** By the class of the interceptor manager, which two instances share exactly if one copy of axios made them. */
const resolvers = new WeakMap<object, GetAdapter>();

export function isAxiosInstance(value: unknown): value is AxiosInstance {
  if ((typeof value !== 'function' && typeof value !== 'object') || value === null) return false;
  const { defaults, interceptors, getUri } = value as Partial<AxiosInstance>;
  const { use, eject } = interceptors?.request ?? {};
  return typeof defaults === 'object' && typeof getUri === 'function' && typeof use === 'function' && typeof eject === 'function';
}

/** Remembers `getAdapter` of axios itself (1.5 and newer) for the instances it makes, which do not have it. */
export function learnAdapters(axios: AxiosInstance): void {
  if (typeof axios.getAdapter === 'function') resolvers.set(copyOf(axios), axios.getAdapter);
}

export class AxiosAccess {
  /** An instance of the same copy without defaults and interceptors, made when first needed. */
  private bare: AxiosInstance | undefined;

  constructor(private readonly instance: AxiosInstance) {
    learnAdapters(instance);
  }

  /** The function that `adapter` (a function, a name or a list of both) means; throws what axios would. */
  adapterFor(adapter: unknown, config: AxiosConfig): Adapter {
    if (typeof adapter === 'function') return adapter as Adapter;
    const getAdapter = resolvers.get(copyOf(this.instance));
    if (getAdapter !== undefined && adapter !== undefined) return getAdapter(adapter, config);
    return named => this.dispatch(named);
  }

  /** The URL axios will call, with base and parameters. */
  uriOf(config: AxiosConfig): string {
    const { allowAbsoluteUrls, baseURL, params, paramsSerializer, url } = config;
    if (params === undefined && baseURL === undefined && url !== undefined) return url;
    const given: AxiosConfig = {};
    if (url !== undefined) given.url = url;
    if (baseURL !== undefined) given.baseURL = baseURL;
    if (allowAbsoluteUrls !== undefined) given.allowAbsoluteUrls = allowAbsoluteUrls;
    if (params !== undefined) given.params = params;
    if (paramsSerializer !== undefined) given.paramsSerializer = paramsSerializer;
    return this.bareInstance().getUri(given);
  }

  /**
   * Lets axios itself look up an adapter by name and call it with this very config: the way where no `getAdapter` is within reach. What
   * was already done to the request, and what will be done to the response, is left out.
   */
  private dispatch(config: AxiosConfig): Promise<unknown> {
    const bare = this.bareInstance();
    const { transformRequest, transformResponse } = config;
    config.transformRequest = undefined;
    config.transformResponse = undefined;
    const restore = () => {
      config.transformRequest = transformRequest;
      config.transformResponse = transformResponse;
    };
    // `request` is `_request` plus frames of ours in the stack of every error.
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
