/** What spans in Zipkin's format mean in OpenTelemetry's terms: endpoints and the tags that stand for more than an attribute. */
import type { Attributes } from '@opentelemetry/api';
import { serviceAttributes } from './resource.js';

/** An endpoint as Zipkin's v2 format has it. */
export interface ZipkinEndpoint {
  readonly serviceName?: unknown;
  readonly ipv4?: unknown;
  readonly ipv6?: unknown;
  readonly port?: unknown;
}

/** The resource that a local endpoint stands for. */
export function zipkinResource({ serviceName, ipv4, ipv6 }: ZipkinEndpoint = {}): Attributes {
  const address = text(ipv4) ?? text(ipv6);
  return { ...serviceAttributes(text(serviceName) ?? 'unknown_service'), ...(address !== undefined && { 'host.ip': [address] }) };
}

/** The attributes that a remote endpoint stands for; tags that say the same win. */
export function zipkinPeer({ serviceName, ipv4, ipv6, port }: ZipkinEndpoint = {}): Attributes {
  const address = text(ipv4) ?? text(ipv6);
  const name = text(serviceName);
  return {
    ...(name !== undefined && { 'service.peer.name': name }),
    ...((address ?? name) !== undefined && { 'server.address': address ?? name }),
    ...(typeof port === 'number' && port > 0 && { 'server.port': port }),
  };
}

/** How the tags say that a span ended: `error` is Zipkin's, the other OpenTelemetry's for Zipkin. */
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
