/** Reads from the environment how to send OTLP over HTTP: headers, compression, timeout, certificates, proxy. */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { complain, percentDecoded, readName, readNumber, readText, refuseVariable } from '../../options/environment.js';
import { reportTrouble } from '../../options/trouble.js';
import { messages } from '../../options/messages.js';
import { type Endpoint, otlpHttpEndpoint, withoutSecrets } from './endpoint.js';
import { type Target, targetOf } from './http-post.js';

/** @internal */
export interface OtlpSettings {
  readonly endpoint: Endpoint;
  readonly target: Target;
  readonly headers: Readonly<Record<string, string>>;
  readonly isCompressed: boolean;
  /** For one batch, including retries. */
  readonly timeoutMs: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/** @internal */
export function otlpSettings(env: NodeJS.ProcessEnv): OtlpSettings {
  const endpoint = otlpHttpEndpoint(env);
  const files = {
    ca: file(env, 'CERTIFICATE'),
    cert: file(env, 'CLIENT_CERTIFICATE'),
    key: file(env, 'CLIENT_KEY'),
  };
  const general = readName(env, 'OTEL_EXPORTER_OTLP_COMPRESSION', ['gzip', 'none'], 'none');
  return {
    endpoint,
    // The default address is localhost. A proxy cannot reach it.
    target: targetOf(endpoint.url, endpoint.variable === undefined ? undefined : proxyFor(endpoint.url, env), files),
    headers: { ...headers(env, 'OTEL_EXPORTER_OTLP_HEADERS'), ...headers(env, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS') },
    isCompressed: readName(env, 'OTEL_EXPORTER_OTLP_TRACES_COMPRESSION', ['gzip', 'none'], general) === 'gzip',
    timeoutMs: timeout(env, 'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', timeout(env, 'OTEL_EXPORTER_OTLP_TIMEOUT', DEFAULT_TIMEOUT_MS)),
  };
}

function timeout(env: NodeJS.ProcessEnv, variable: string, fallback: number): number {
  return readNumber(env, variable, fallback, 'milliseconds, more than 0', value => value > 0 && value < 2 ** 31);
}

function file(env: NodeJS.ProcessEnv, what: string): Buffer | undefined {
  const traces = `OTEL_EXPORTER_OTLP_TRACES_${what}`;
  const variable = readText(env, traces) === undefined ? `OTEL_EXPORTER_OTLP_${what}` : traces;
  const path = readText(env, variable);
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch {
    complain(variable, path, 'a file that can be read', 'no file');
    return undefined;
  }
}

/** Parses `name=value,…` with percent-encoded values. The log does not show an invalid entry, because it may be a key. */
function headers(env: NodeJS.ProcessEnv, variable: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of (readText(env, variable) ?? '').split(',')) {
    if (pair.trim() === '') continue;
    const [, name = '', value = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/s.exec(pair) ?? [];
    const decoded = percentDecoded(value);
    const isHeader = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) && decoded !== '' && /^[\t\x20-\x7e\x80-\xff]*$/.test(decoded);
    if (isHeader) found[name.toLowerCase()] = decoded;
    else reportTrouble(`environment:${variable}`, messages.invalidHeaders(variable));
  }
  return found;
}

/**
 * Returns the proxy for calls to `url`. It follows `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` as curl and Node do. Throws if the variable
 * is not the URL of a proxy. @internal
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const variable = readText(env, name.toLowerCase()) === undefined ? name : name.toLowerCase();
  const value = readText(env, variable);
  if (value === undefined || isExempt(url, readText(env, 'no_proxy') ?? readText(env, 'NO_PROXY') ?? '')) return undefined;
  // curl also accepts a host and a port.
  const text = value.includes('://') ? value : `http://${value}`;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy;
  return refuseVariable(variable, withoutSecrets(value), messages.expectedProxy());
}

/**
 * True if `list` names the host of `url`. Items are `*`, a host (subdomains included), `host:port`, an IP address, or a network such as
 * `10.0.0.0/8`.
 */
function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some(item => {
      if (item === '') return false;
      // An IPv6 address contains colons. It has a port only if it is in brackets.
      if (item === '*' || item === host || isInNetwork(host, item)) return true;
      const [, name = item, itsPort] = /^(.*?)(?::(\d+))?$/.exec(item) ?? [];
      if (itsPort !== undefined && itsPort !== port) return false;
      const bare = name.replace(/^\*?\.|[[\]]/g, '');
      return host === bare || host.endsWith(`.${bare}`);
    });
}

function isInNetwork(host: string, item: string): boolean {
  const [, network = '', bits = ''] = /^(.+)\/(\d{1,3})$/.exec(item) ?? [];
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || Number(bits) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, Number(bits), type);
  return list.check(host, type);
}
