/** Attributes of gRPC spans (semantic conventions for gRPC): method, addresses, and the meaning of a status code on each side. */
import { isIP } from 'node:net';
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';
import { exceptionMessage } from '../../../conventions/exception.js';
import { recordExceptionOnce, recordFailure } from '../../../conventions/failure.js';
import { type ServerAddress, serverAddress } from '../../../conventions/rpc.js';

/** The value of `rpc.system.name`. Rules see it, too. */
export const GRPC = 'grpc';

/** The final status of a call, as it is sent. */
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

/** The codes that this library treats differently. */
export const GRPC_CODE = { OK: 0, CANCELLED: 1, UNKNOWN: 2, DEADLINE_EXCEEDED: 4 } as const;

/** They make a SERVER span fail. The caller causes all others. */
const FAILURES_OF_SERVER = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS']);

/** Returns `pkg.Service/Method` for the path `/pkg.Service/Method`: the value of `rpc.method` and the span's name. */
export function grpcMethod(path: string): string {
  return path.startsWith('/') ? path.slice(1) : path;
}

export function isGrpcStatus(value: unknown): value is GrpcStatus {
  return typeof value === 'object' && value !== null && Number.isInteger((value as { code?: unknown }).code);
}

/** Sets the status code on the span, without marking a failure. */
export function recordGrpcStatus(span: Span, { code }: GrpcStatus): void {
  span.setAttribute('rpc.status_code', nameOf(code));
}

/** Records on a SERVER span a status other than `OK`. `thrown` is undefined if the handler threw nothing. */
export function recordServedStatus(span: Span, status: GrpcStatus, thrown: unknown): void {
  const name = nameOf(status.code);
  recordGrpcStatus(span, status);
  if (!FAILURES_OF_SERVER.has(name)) return;
  span.setAttribute('error.type', name);
  if (thrown === undefined) {
    span.setStatus(failed(status));
    return;
  }
  recordExceptionOnce(span, thrown);
  span.setStatus({ code: SpanStatusCode.ERROR, message: exceptionMessage(thrown) });
}

/** Records on a CLIENT span a status other than `OK`. `thrown` is undefined if nothing failed on this side. */
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
 * Parses the address of a call. `target` is a channel's target (`dns:///orders:50051`, `ipv6:[::1]:50051`, `unix:/run/orders.sock`) or an
 * authority (`orders:50051`). If it cannot be parsed, the address is the whole text.
 */
export function grpcServer(target: string): ServerAddress {
  const socket = /^unix:(?:\/\/)?(.+)$/.exec(target)?.[1];
  if (socket !== undefined) return serverAddress(socket, undefined);
  const path = /^(?:dns|ipv4|ipv6|passthrough):(?:\/\/[^/]*\/)?(.+)$/.exec(target)?.[1] ?? target;
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]/,]+))(?::(\d+))?$/.exec(path) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined) return serverAddress(host, port);
  return serverAddress(isIP(path) === 6 ? path : target, undefined);
}

/** Returns `network.peer.*` for a peer in gRPC's format, `127.0.0.1:50051`. Returns undefined for any other value. */
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
