/** Traces outgoing HTTP calls: through the axios instance of every `HttpService`, through fetch and undici, and through `node:http`. */
import type { Integration } from '../../nest/integration.js';
import { ownerOf } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { installOn } from './axios.js';
import { type AxiosInstance, isAxiosInstance, learnAdapters } from './axios-library.js';
import { traceFetch } from './fetch.js';
import { traceNodeHttp } from './node-http.js';

export const httpClient: Integration = {
  name: 'http-client',
  passesThrough: true,
  install(application, nest) {
    nest.eachProvider(httpServices);
    if (application.outbound.fetch) nest.onInit(() => nest.whileInForce(traceFetch));
    if (application.outbound.http) nest.onInit(() => nest.whileInForce(() => traceNodeHttp(() => nest.httpServer())));
  },
};

/** The token under which HttpModule provides its axios instance. */
const AXIOS_INSTANCE = 'AXIOS_INSTANCE_TOKEN';

/** Finds the axios instance of every `HttpService` of an application. @internal */
export const httpServices: ProviderTracing<AxiosInstance> = {
  everyInstance: true,
  find({ instance, token }) {
    const found = token === AXIOS_INSTANCE ? instance : axiosOf(instance);
    return isAxiosInstance(found) ? [found] : [];
  },
  install: installOn,
};

const knownServices = new WeakSet<Function>();

/**
 * Returns `axiosRef` of an HttpService or a subclass. Recognizes the class by its getter, so @nestjs/axios need not be installed. Does not
 * touch other providers: they may be proxies, or throw if touched.
 */
function axiosOf(provided: object): unknown {
  const prototype = Object.getPrototypeOf(provided) as object | null;
  const owner = prototype === null ? undefined : ownerOf(prototype, 'axiosRef');
  const getter = owner && Object.getOwnPropertyDescriptor(owner, 'axiosRef')?.get;
  if (owner === undefined || getter === undefined) return undefined;
  const httpService = owner.constructor;
  if (!knownServices.has(httpService)) {
    knownServices.add(httpService);
    learnFrom(httpService, getter);
  }
  return getter.call(provided);
}

/** An HttpService without arguments holds axios itself. */
function learnFrom(httpService: Function, getter: () => unknown): void {
  try {
    const axios: unknown = getter.call(Reflect.construct(httpService, []));
    if (isAxiosInstance(axios)) learnAdapters(axios);
  } catch {
    // Another class. Its adapters are looked up in a slower way.
  }
}
