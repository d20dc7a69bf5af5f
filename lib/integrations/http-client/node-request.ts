/** Reads and writes the requests of `node:http`: target, headers and answer. */
import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import type { ClientRequest as DescribedRequest } from './attributes.js';
import { type HttpLibrary, isHttpInstrumented } from './http-call.js';

/** The names of the headers that we have written. */
const WRITTEN = Symbol('nestjs-tracing/written');

/** A request of `node:http` or `node:https`. The added members are not documented. */
export interface NodeRequest extends ClientRequest {
  /** Set by Node if the request goes to a Unix domain socket. */
  readonly socketPath?: string | null | undefined;
  /** The request line and all headers as they are sent. Null until they are final. */
  _header?: string | null;
  /** True if Node has taken the headers out of `_header`. They may still be in `outputData`. */
  readonly _headerSent?: boolean;
  /** What waits for a connection. */
  readonly outputData?: { data?: unknown }[];
  outputSize?: number;
  [WRITTEN]?: string[];
}

export const nodeRequests: HttpLibrary<NodeRequest, IncomingMessage> = {
  request: describe,
  isTracedElsewhere: isHttpInstrumented,
  headers: { keys: headerNames, get: readHeader, set: writeHeader },
  answer: ({ httpVersion, socket, statusCode }) => ({
    statusCode: Number(statusCode),
    peerAddress: socket.remoteAddress,
    peerPort: socket.remotePort,
    protocolVersion: httpVersion,
  }),
  responseHeaders: ({ headers }) => headers,
};

function describe(request: NodeRequest): DescribedRequest | undefined {
  const { method, path, protocol } = request;
  if (protocol !== 'http:' && protocol !== 'https:') return undefined;
  const socketPath = request.socketPath ?? undefined;
  const origin = `${protocol}//${socketPath === undefined ? authorityOf(request) : 'localhost'}`;
  try {
    // For a proxy, `path` is a full URL. A path that starts with two slashes must not be parsed as a host.
    return { method, url: path.startsWith('/') ? new URL(origin + path) : new URL(path, origin), socketPath };
  } catch {
    return undefined;
  }
}

/** Returns host and port. Node keeps the port only in the `Host` header that it writes, and in the agent. */
function authorityOf(request: NodeRequest): string {
  const host = request.host.includes(':') && !request.host.startsWith('[') ? `[${request.host}]` : request.host;
  const header = hostHeader(request);
  // The user's own header may name another host: a proxy passes on that of its caller.
  if (header?.isOfNode === true && (header.value === host || header.value.startsWith(`${host}:`))) return header.value;
  const port = portInAgent(request);
  if (port !== undefined) return `${host}:${port}`;
  return header?.value.startsWith(`${host}:`) === true ? header.value : host;
}

/** Node writes the name as `Host`. Headers that a proxy copies have lower-case names. */
function hostHeader(request: NodeRequest): { readonly value: string; readonly isOfNode: boolean } | undefined {
  const value = request.getHeader('host');
  if (value !== undefined) return { value: String(value), isOfNode: request.getRawHeaderNames().includes('Host') };
  const [, name, text] = /^(host): ?([^\r\n]*)/im.exec(request._header ?? '') ?? [];
  return text === undefined ? undefined : { value: text, isOfNode: name === 'Host' };
}

/** Returns the port of the agent's connection. The names of connections are `host:port:…`. The newest that is not in use is taken. */
function portInAgent({ agent, host }: NodeRequest & { readonly agent?: Agent }): string | undefined {
  const connections = agent?.sockets;
  if (typeof connections !== 'object') return undefined;
  const begin = `${host}:`;
  let port: string | undefined;
  for (const [name, sockets] of [...Object.entries(agent?.requests ?? {}), ...Object.entries(connections)]) {
    if (!name.startsWith(begin)) continue;
    port = /^\d+/.exec(name.slice(begin.length))?.[0] ?? port;
    const newest = sockets?.at(-1) as { readonly _httpMessage?: unknown } | undefined;
    if (newest !== undefined && (newest._httpMessage ?? undefined) === undefined) break;
  }
  return port;
}

function headerNames(request: NodeRequest): string[] {
  const names = request.getHeaderNames();
  return names.length > 0 ? names : (request._header?.match(/^[^:\r\n]+(?=:)/gm) ?? []);
}

function readHeader(request: NodeRequest, name: string): string | string[] | undefined {
  const value = request.getHeader(name);
  if (value === undefined) {
    const block = request._header;
    return typeof block === 'string' ? new RegExp(`^${name}: ?([^\\r\\n]*)`, 'im').exec(block)?.[1] : undefined;
  }
  return typeof value === 'number' ? String(value) : value;
}

/** The other headers of a format. A proxy may have copied them from its caller, and they would contradict ours. */
const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  traceparent: ['tracestate'],
  b3: ['x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags'],
};

/** Writes a header. Replaces a header of the same name. */
function writeHeader(request: NodeRequest, name: string, value: string): void {
  const replaced = COMPANIONS[name] ?? [];
  if (typeof request._header === 'string') {
    writeIntoBlock(request, request._header, [name, ...replaced], `${name}: ${value}\r\n`);
    return;
  }
  for (const one of replaced) if (request.hasHeader(one)) request.removeHeader(one);
  request.setHeader(name, value);
  (request[WRITTEN] ??= []).push(name);
}

/**
 * Removes our headers from a request that has been sent: superagent copies them into the request that follows a redirect, perhaps to a host
 * that must not get them.
 */
export function withdrawHeaders(request: NodeRequest): void {
  const { [WRITTEN]: written, _header: block } = request;
  if (written === undefined) return;
  // Node refuses to change headers that are final.
  request._header = null;
  for (const name of written) request.removeHeader(name);
  request._header = block;
}

/** Headers are final at once if the user gave them as an array, or sends `Expect`. They are sent later. */
function writeIntoBlock(request: NodeRequest, block: string, replaced: readonly string[], line: string): void {
  const rest = block.replace(new RegExp(`^(?:${replaced.join('|')}):[^\\n]*\\n`, 'gim'), '');
  const written = `${rest.slice(0, -2)}${line}\r\n`;
  if (request._headerSent === true) {
    const [waiting] = request.outputData ?? [];
    if (waiting?.data !== block) return;
    waiting.data = written;
    request.outputSize = (request.outputSize ?? 0) + written.length - block.length;
  }
  request._header = written;
}
