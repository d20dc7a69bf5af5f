/** Converts Zipkin's endpoints and tags to attributes, and attributes to endpoints. */
import { isIP } from 'node:net';
import type { Attributes } from '@opentelemetry/api';
import { serviceAttributes } from './resource.js';

/** An endpoint in Zipkin's v2 format. */
export interface ZipkinEndpoint {
  readonly serviceName?: unknown;
  readonly ipv4?: unknown;
  readonly ipv6?: unknown;
  readonly port?: unknown;
}

/** Returns the resource attributes of a local endpoint. */
export function zipkinResource({ serviceName, ipv4, ipv6 }: ZipkinEndpoint = {}): Attributes {
  const address = text(ipv4) ?? text(ipv6);
  return { ...serviceAttributes(text(serviceName) ?? 'unknown_service'), ...(address !== undefined && { 'host.ip': [address] }) };
}

/** Returns the attributes of a remote endpoint: the client of a server span, else the server. Tags with the same keys win. */
export function zipkinPeer({ serviceName, ipv4, ipv6, port }: ZipkinEndpoint, served: boolean): Attributes {
  const address = text(ipv4) ?? text(ipv6);
  const name = text(serviceName);
  const hasPort = typeof port === 'number' && port > 0;
  if (served) {
    return {
      ...(name !== undefined && { 'client.service.name': name }),
      ...(address !== undefined && { 'client.address': address }),
      ...(hasPort && { 'client.port': port }),
    };
  }
  return {
    ...(name !== undefined && { 'server.service.name': name }),
    ...((address ?? name) !== undefined && { 'server.address': address ?? name }),
    ...(hasPort && { 'server.port': port }),
  };
}

/** A span as OpenTelemetry's Zipkin exporter writes it. */
interface WrittenSpan {
  readonly kind?: unknown;
  readonly tags?: Readonly<Record<string, string | undefined>>;
}

/** Adds the remote endpoint, which that exporter leaves out. Without it Zipkin shows no dependencies. */
export function withRemoteEndpoint<T extends WrittenSpan>(span: T): T & { readonly remoteEndpoint?: ZipkinEndpoint } {
  const { kind, tags = {} } = span;
  if (typeof kind !== 'string') return span;
  const side = kind === 'SERVER' ? 'client' : 'server';
  const given = tags[`${side}.address`];
  const address = given ?? tags['network.peer.address'];
  const port = Number(given === undefined ? tags['network.peer.port'] : tags[`${side}.port`]);
  const version = isIP(address ?? '');
  const serviceName = tags[`${side}.service.name`] ?? (version === 0 ? address : undefined);
  const remoteEndpoint: ZipkinEndpoint = {
    ...(serviceName !== undefined && { serviceName }),
    ...(version === 4 && { ipv4: address }),
    ...(version === 6 && { ipv6: address }),
    ...(port > 0 && { port }),
  };
  return Object.keys(remoteEndpoint).length === 0 ? span : { ...span, remoteEndpoint };
}

/** Returns the status in the tags of a span. `error` is Zipkin's tag, `otel.status_code` is OpenTelemetry's. */
export function zipkinStatus(tags: Attributes): { readonly name: 'unset' | 'ok' | 'error'; readonly message: string | undefined } {
  const error = tags['error'];
  if (error !== undefined && error !== 'false') {
    return { name: 'error', message: error === 'true' || error === '' ? undefined : String(error) };
  }
  const code = tags['otel.status_code'];
  return { name: code === 'ERROR' ? 'error' : code === 'OK' ? 'ok' : 'unset', message: undefined };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
