/** Explains why an export failed: the address, the status or error, and what the user can do. */

/** The address that an exporter sends to. @internal */
export interface Place {
  /** Without credentials. */
  readonly address: string;
  /** The environment variable that sets the address, if there is one. */
  readonly variable?: string | undefined;
  readonly proxy?: string | undefined;
}

/** The collector refused a batch or did not answer. @internal */
export class ExportFailure extends Error {
  override readonly name = 'ExportFailure';

  constructor(
    readonly place: Place,
    readonly status: number | undefined,
    readonly text: string,
    cause: unknown,
  ) {
    super(status === undefined ? messageOf(cause) : `${status} ${text}`.trim(), { cause });
  }
}

/** The collector refused some spans of a batch. If `refused` is 0, the answer is only a warning. @internal */
export class PartialFailure extends Error {
  override readonly name = 'PartialFailure';

  constructor(
    readonly refused: number,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** An explained failure. Only the first one of each kind is logged. */
interface ExplainedFailure {
  readonly kind: string;
  readonly what: string;
  readonly advice: string;
}

const ZIPKIN_STATUS = /unexpected status code from zipkin: (\d{3})/;

const KEY = 'Check the key in OTEL_EXPORTER_OTLP_HEADERS or OTEL_EXPORTER_OTLP_TRACES_HEADERS.';
const LOAD = 'The collector gets more spans than it accepts: sample less (option "sampler" or OTEL_TRACES_SAMPLER), or raise its limits.';
const SIZE =
  'A single span that is too large is lost: raise the size limit of the collector for a request, or shorten attributes with OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT.';
const PROTOCOL =
  'The server at this address may speak another protocol: port 4317 is for OTEL_EXPORTER_OTLP_PROTOCOL=grpc, port 4318 for "http/protobuf" and "http/json".';
const RUNNING =
  'Check that the collector is running and that this is its address: inside a container, "localhost" is the container itself.';
const NAME = 'Check the name of the host.';
const CERTIFICATE =
  'Its certificate is not trusted: set OTEL_EXPORTER_OTLP_CERTIFICATE to the file of its authority, or check that the certificate is for the host in the address.';
const FILES =
  'Check the files of OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: they must be PEM files, and the key must belong to the certificate.';
const NO_TLS = 'The server does not speak TLS: write "http://" instead of "https://", or check the port.';
const SLOW = 'It does not answer in time: check its load and the network, or raise OTEL_EXPORTER_OTLP_TIMEOUT.';
const PROXY = 'Look at the proxy in HTTPS_PROXY or HTTP_PROXY, or add the host of the collector to NO_PROXY.';
const REDIRECT = 'It redirects to another address: write the address that it names into the variable of the endpoint.';
const ELSE = 'Look at the log of the collector.';

const BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: RUNNING,
  EHOSTUNREACH: RUNNING,
  ENETUNREACH: RUNNING,
  ENOTFOUND: NAME,
  EAI_AGAIN: NAME,
  ETIMEDOUT: SLOW,
  ECONNRESET: PROTOCOL,
  EPIPE: PROTOCOL,
  EPROTO: NO_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
};

const BY_GRPC: Readonly<Record<number, readonly [name: string, advice: string]>> = {
  3: ['INVALID_ARGUMENT', ELSE],
  4: ['DEADLINE_EXCEEDED', SLOW],
  7: ['PERMISSION_DENIED', KEY],
  8: ['RESOURCE_EXHAUSTED', `${LOAD} ${SIZE}`],
  12: ['UNIMPLEMENTED', PROTOCOL],
  13: ['INTERNAL', PROTOCOL],
  14: ['UNAVAILABLE', `${RUNNING} ${PROTOCOL} Without "http://" before the address, gRPC uses TLS.`],
  16: ['UNAUTHENTICATED', KEY],
};

/** True if the collector refused the batch because of its size. A smaller batch may succeed. @internal */
export function isTooLarge(error: unknown): boolean {
  if (statusOf(error) === 413) return true;
  return grpcOf(error) === 8 && /larger than|too large|max(imum)?[ _]?(message|size)/i.test(messageOf(error));
}

/**
 * Explains `error`. `place` is used if the error does not know its address. Returns undefined if only the message of the error is known.
 * @internal
 */
export function explain(error: unknown, place: Place | undefined): ExplainedFailure | undefined {
  const at = error instanceof ExportFailure ? error.place : place;
  const address = at?.address ?? 'the collector';
  const status = statusOf(error);
  if (status !== undefined) {
    const text = error instanceof ExportFailure && error.text !== '' ? ` (${error.text})` : '';
    return { kind: String(status), what: `${address} answered ${status}${text}`, advice: adviceForStatus(status, at) };
  }
  const grpc = grpcOf(error);
  if (grpc !== undefined) {
    const [kind, advice] = BY_GRPC[grpc] ?? [String(grpc), ELSE];
    return { kind, what: `${address} answered ${kind} (${shortened(messageOf(error))})`, advice };
  }
  const cause = error instanceof ExportFailure ? error.cause : error;
  const code = codeOf(cause) ?? codeOf(firstOf(cause));
  const proxied = (cause as { name?: unknown } | undefined)?.name === 'ProxyRefusal';
  if (code === undefined && !proxied && !(error instanceof ExportFailure)) return undefined;
  const via = at?.proxy === undefined ? '' : ` through the proxy ${at.proxy}`;
  const why = shortened(messageOf(cause) || messageOf(firstOf(cause)) || String(code));
  return {
    kind: code ?? (proxied ? 'proxy' : 'other'),
    what: `${address} could not be reached${via} (${why})`,
    advice: adviceForCode(code, at, proxied),
  };
}

function statusOf(error: unknown): number | undefined {
  if (error instanceof ExportFailure) return error.status;
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  // OpenTelemetry's OTLP exporters over HTTP keep the status in `code`.
  if (name === 'OTLPExporterError' && typeof code === 'number' && code >= 300) return code;
  const zipkins = ZIPKIN_STATUS.exec(messageOf(error))?.[1];
  return zipkins === undefined ? undefined : Number(zipkins);
}

function grpcOf(error: unknown): number | undefined {
  const { code, details } = (error ?? {}) as { code?: unknown; details?: unknown };
  return typeof code === 'number' && code <= 16 && (typeof details === 'string' || error instanceof Error) ? code : undefined;
}

/** Returns the code of a Node error, such as `ECONNRESET`. @internal */
export function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

function adviceForStatus(status: number, place: Place | undefined): string {
  if (status === 401 || status === 403) return KEY;
  if (status === 407) return PROXY;
  if (status === 404) return pathOf(place);
  if (status === 413) return SIZE;
  if (status === 429) return LOAD;
  if (status === 400 || status === 405 || status === 406 || status === 415) return `It does not accept the request as OTLP. ${PROTOCOL}`;
  if (status >= 300 && status < 400) return REDIRECT;
  if (status === 502 || status === 503 || status === 504) return `It, or a proxy before it, is overloaded or down. ${ELSE}`;
  return ELSE;
}

function adviceForCode(code: string | undefined, place: Place | undefined, isProxy: boolean): string {
  if (isProxy || (place?.proxy !== undefined && (code === undefined || code in BY_CODE))) return PROXY;
  if (code === undefined) return ELSE;
  if (code.startsWith('HPE_')) return PROTOCOL;
  if (/^ERR_OSSL_(PEM|X509|ASN1)/.test(code)) return FILES;
  if (/CERT|SIGNATURE|ISSUER/.test(code)) return CERTIFICATE;
  return BY_CODE[code] ?? ELSE;
}

function pathOf(place: Place | undefined): string {
  if (place?.variable === 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
    return 'Check the path: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is used as it is, so it must end in the path for traces, usually "/v1/traces".';
  return 'Check the path: "/v1/traces" is appended to OTEL_EXPORTER_OTLP_ENDPOINT. If the collector has another path, set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, which is used as it is.';
}

/** Returns the first error of an AggregateError. Node throws one if it tried several addresses of a host. */
function firstOf(error: unknown): unknown {
  const { errors } = (error ?? {}) as { errors?: unknown };
  return Array.isArray(errors) ? errors[0] : undefined;
}

function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message : '';
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
