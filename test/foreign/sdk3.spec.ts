/** The official exporters of OpenTelemetry's SDK 3: what arrives in the viewer is what they were given, span by span. */
import type { Attributes, AttributeValue, HrTime } from '@opentelemetry/api';
import { kindName, statusName, type TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { specsWith } from './found.js';
import { Program } from '../../sample/runner/program.js';
import { RunningViewer } from './running-viewer.js';
import { sdk3Sender } from './toolchains.js';

/** As the sender prints it. */
interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly status: { readonly code: number; readonly message?: string };
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly attributes: Values;
  readonly events: readonly { readonly name: string; readonly time: HrTime; readonly attributes: Values }[];
  readonly links: TraceSpan['links'];
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
}

type Values = Readonly<Record<string, unknown>>;

const specs = specsWith("OpenTelemetry's SDK 3", await sdk3Sender());
const nanoseconds = ([seconds, nanos]: HrTime) => BigInt(seconds) * 1_000_000_000n + BigInt(nanos);

/** Tags are text; what is a list or a map here is written by the exporter as JavaScript does it. */
const tagsOf = (attributes: Values) => Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]));
const tagsOfStatus = { ok: { 'otel.status_code': 'OK' }, error: { 'otel.status_code': 'ERROR', error: 'card refused' }, unset: {} };
const microsecondsBetween = (a: bigint, b: bigint) => Math.abs(Number(a - b)) / 1000;

/** The store holds what the API of SDK 2 knows: null is empty text, maps and lists of several kinds are JSON. */
function stored(values: Values): Attributes {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]): [string, AttributeValue] => {
      if (value === null) return [key, ''];
      const isPlain = Array.isArray(value) ? value.every(item => typeof item !== 'object') : typeof value !== 'object';
      return [key, isPlain ? (value as AttributeValue) : JSON.stringify(value)];
    }),
  );
}

function expected({ kind, status, startTime, endTime, attributes, events, scope, ...span }: SentSpan): TraceSpan {
  return {
    ...span,
    parentSpanId: span.parentSpanId,
    kind: kindName(kind),
    status: statusName(status.code),
    statusMessage: status.message,
    startNs: nanoseconds(startTime),
    endNs: nanoseconds(endTime),
    service: 'payments',
    attributes: stored(attributes),
    events: events.map(event => ({ ...event, attributes: stored(event.attributes) })),
    scope: { name: scope.name, version: scope.version },
  };
}

describe('The SDK 3 line', () => {
  let viewer: RunningViewer;

  beforeAll(async () => {
    viewer = await RunningViewer.start();
  });

  afterEach(() => viewer.clear());
  afterAll(() => viewer.stop());

  /** What was sent in this format, and what has arrived, both with the parent first. */
  async function send({ command, args = [] }: { command: string; args?: readonly string[] }, format: string) {
    const { code, stdout, output } = await Program.run({ command, args: [...args, format, viewer.url] }, 30_000);
    if (code !== 0) throw new Error(output);
    const sent = (JSON.parse(stdout) as SentSpan[]).reverse();
    const [trace, ...others] = await viewer.traces(sent.length);
    expect(others).toEqual([]);
    const arrived = await viewer.spans(trace!.traceId);
    return { sent, arrived: sent.map(({ spanId }) => arrived.find(span => span.spanId === spanId)) };
  }

  for (const format of ['json', 'json, gzip', 'protobuf', 'protobuf, gzip']) {
    specs(`sends all that it records by its exporter for OTLP (${format})`, async command => {
      const { sent, arrived } = await send(command, format);
      expect(sent).toHaveLength(2);
      expect(arrived).toEqual(sent.map(expected));
    });
  }

  specs("sends by Zipkin's exporter what that format has", async command => {
    const { sent, arrived } = await send(command, 'zipkin');
    expect(arrived).toHaveLength(2);
    for (const [index, given] of sent.entries()) {
      const { traceId, spanId, parentSpanId, name, kind, status, statusMessage, service, startNs, endNs } = expected(given);
      const span = arrived[index]!;
      expect(span).toMatchObject({ traceId, spanId, parentSpanId, name, kind, status, statusMessage, service });
      expect(microsecondsBetween(span.startNs, startNs)).toBeLessThanOrEqual(1);
      expect(microsecondsBetween(span.endNs, endNs)).toBeLessThanOrEqual(1);
      expect(span.events.map(event => event.name)).toEqual(given.events.map(event => event.name));
      expect(span.attributes).toEqual({ ...tagsOf({ ...given.resource, ...given.attributes }), ...tagsOfStatus[status] });
    }
  });
});
