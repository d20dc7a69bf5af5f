/** What spans of gRPC calls say (semantic conventions for gRPC): methods, addresses, and what a status code means on either side. */
import { isIP } from 'node:net';
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';
import { exceptionMessage, recordException, recordFailure } from './failure.js';
import { type ServerAddress, serverAddress } from './rpc.js';

/** `rpc.system.name`, also what rules see. */
export const GRPC = 'grpc';

/** How a call ended, as it went over the wire. */
export interface GrpcStatus {
  readonly code: number;
  readonly details?: unknown;
}

const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

export const GRPC_OK = 0;
export const GRPC_CANCELLED = 1;
export const GRPC_UNKNOWN = 2;
export const GRPC_DEADLINE_EXCEEDED = 4;

/** The others are the caller's doing. */
const FAILURES_OF_SERVER = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS']);

/** `pkg.Service/Method` of the path `/pkg.Service/Method`: `rpc.method`, and the name of the span. */
export function grpcMethod(path: string): string {
  return path.startsWith('/') ? path.slice(1) : path;
}

export function isGrpcStatus(value: unknown): value is GrpcStatus {
  return typeof value === 'object' && value !== null && Number.isInteger((value as { code?: unknown }).code);
}

/** The end of a call without complaint, or one that is no more than reported. */
export function recordGrpcStatus(span: Span, { code }: GrpcStatus): void {
  span.setAttribute('rpc.status_code', nameOf(code));
}

/** Marks the span of a served call that did not end with `OK`; `thrown` is what the handler threw, where it did. */
export function recordServedStatus(span: Span, status: GrpcStatus, thrown: unknown): void {
  const name = nameOf(status.code);
  recordGrpcStatus(span, status);
  if (!FAILURES_OF_SERVER.has(name)) return;
  span.setAttribute('error.type', name);
  if (thrown === undefined) {
    span.setStatus(failed(status));
    return;
  }
  recordException(span, thrown);
  span.setStatus({ code: SpanStatusCode.ERROR, message: exceptionMessage(thrown) });
}

/** Marks the span of a call that was made and did not end with `OK`; `thrown` is what broke it on this side, where something did. */
export function recordCalledStatus(span: Span, status: GrpcStatus, thrown: unknown): void {
  recordGrpcStatus(span, status);
  if (thrown !== undefined) {
    recordFailure(span, thrown);
    return;
  }
  span.setAttribute('error.type', nameOf(status.code));
  span.setStatus(failed(status));
}

/**
 * Where a call goes: of a channel's target (`dns:///orders:50051`, `ipv6:[::1]:50051`) or an authority (`orders:50051`). What cannot be
 * taken apart is an address as it stands.
 */
export function grpcServer(target: string): ServerAddress {
  const path = /^(?:dns|ipv4|ipv6|passthrough):(?:\/\/[^/]*\/)?(.+)$/.exec(target)?.[1] ?? target;
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]/,]+))(?::(\d+))?$/.exec(path) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined) return serverAddress(host, port);
  return serverAddress(isIP(path) === 6 ? path : target, undefined);
}

/** `network.peer.*` of `127.0.0.1:50051` as gRPC names its peers; nothing where that is unknown. */
export function grpcPeer(peer: unknown): Attributes | undefined {
  if (typeof peer !== 'string') return undefined;
  const colon = peer.lastIndexOf(':');
  const address = peer.slice(0, colon).replace(/^\[|\]$/g, '');
  if (colon < 0 || isIP(address) === 0) return undefined;
  return { 'network.peer.address': address, 'network.peer.port': Number(peer.slice(colon + 1)) };
}

function nameOf(code: number): string {
  return CODES[code] ?? String(code);
}

function failed({ details }: GrpcStatus) {
  return { code: SpanStatusCode.ERROR, message: typeof details === 'string' && details !== '' ? details : undefined };
}
