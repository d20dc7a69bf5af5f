/**
 * Reads from the environment the address for spans. An invalid address stops the start-up with an error that names the variable and its
 * value.
 */
import { complain, readText, refuseVariable } from '../../options/environment.js';
import { messages } from '../../options/messages.js';

/** @internal */
export interface Endpoint {
  readonly url: URL;
  /** The variable that sets the URL. Undefined for the default URL. */
  readonly variable: string | undefined;
}

const GENERAL = 'OTEL_EXPORTER_OTLP_ENDPOINT';
const TRACES = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
const PATH = '/v1/traces';

/** Returns the OTLP endpoint over HTTP. `/v1/traces` is appended to `OTEL_EXPORTER_OTLP_ENDPOINT` only. @internal */
export function otlpHttpEndpoint(env: NodeJS.ProcessEnv): Endpoint {
  const traces = httpUrl(env, TRACES, 4318);
  if (traces !== undefined) return { url: traces, variable: TRACES };
  const general = httpUrl(env, GENERAL, 4318);
  if (general === undefined) return { url: new URL(`http://localhost:4318${PATH}`), variable: undefined };
  const base = general.pathname.replace(/\/+$/, '');
  const url = new URL(general);
  url.pathname = base.endsWith(PATH) ? base : base + PATH;
  if (base.endsWith(PATH)) complain(GENERAL, shown(general), messages.pathIsAppended(PATH), shown(url));
  return { url, variable: GENERAL };
}

/**
 * Checks the OTLP endpoint over gRPC and returns it for messages. The gRPC exporter reads the variable itself. It accepts a URL,
 * `host:port`, `unix:` and `dns:`. @internal
 */
export function otlpGrpcEndpoint(env: NodeJS.ProcessEnv): string {
  const variable = readText(env, TRACES) === undefined ? GENERAL : TRACES;
  const value = readText(env, variable);
  if (value === undefined) return 'http://localhost:4317';
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value) ?? [];
  const isKnown = scheme === undefined || ['http', 'https', 'dns', 'unix', 'ipv4', 'ipv6', 'xds'].includes(scheme.toLowerCase());
  if (!isKnown || /\s/.test(value)) refuseVariable(variable, withoutSecrets(value), messages.expectedUrl(4317, suggestion(value, 4317)));
  return withoutSecrets(value);
}

/** Returns the URL in a variable. Throws if it is not an HTTP URL. @internal */
export function httpUrl(env: NodeJS.ProcessEnv, variable: string, port: number, path = ''): URL | undefined {
  const value = readText(env, variable);
  if (value === undefined) return undefined;
  // `URL` also parses "localhost:4318": it takes "localhost" as the scheme.
  const url = /^https?:\/\/[^/\s]/i.test(value) && URL.canParse(value) ? new URL(value) : undefined;
  if (url !== undefined && canListen(url)) return url;
  return refuseVariable(variable, withoutSecrets(value), messages.expectedUrl(port, suggestion(value, port), path));
}

/** True if a server can have this address. A URL that a script put together may lack a part or contain the scheme twice. */
function canListen({ hostname, port, pathname }: URL): boolean {
  const isSchemeTwice = /^https?$/.test(hostname) && pathname.startsWith('//');
  return /^(\[[0-9a-f:.]+\]|[\w.-]+)$/i.test(hostname) && port !== '0' && !isSchemeTwice;
}

/** Returns a URL for messages, without credentials and without the query, which may contain a key. @internal */
export function shown({ origin, pathname }: URL): string {
  return origin + (pathname === '/' ? '' : pathname);
}

/** The same for a value that may not be a valid URL. @internal */
export function withoutSecrets(value: string): string {
  return value.replace(/^([a-z0-9+.-]*:?\/+)?.*@/is, '$1…@').replace(/\?.*/s, '?…');
}

/** Suggests the intended URL for a host without a scheme or with a misspelt one. Returns undefined if there is none. */
function suggestion(value: string, port: number): string | undefined {
  const bare = value.replace(/^["']|["']$/g, '');
  const rest = bare.replace(/^(https?:\/?(?!\/)|[a-z0-9+.-]*:?\/\/(?!\/))+/i, '').replace(/^:/, '');
  const isHost = /^(\[[0-9a-f:]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)(:\d{1,5})?(\/\S*)?$/i.test(rest);
  const isPlain = isHost && !/^\d+$/.test(rest) && (rest !== value || /[.:\]]|^localhost/i.test(rest));
  if (!isPlain) return undefined;
  const scheme = /^https/i.test(bare) ? 'https' : 'http';
  const named = URL.canParse(`${scheme}://${rest}`) ? new URL(`${scheme}://${rest}`) : undefined;
  if (named === undefined || !canListen(named)) return undefined;
  if (named.port === '' && scheme === 'http') named.port = String(port);
  return shown(named);
}
