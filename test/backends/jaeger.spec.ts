/** The sample's traces in a real Jaeger, read back through its API: the ones that our viewer has, and the ones that it lets download. */
import { randomBytes } from 'node:crypto';
import type { AttributeValue } from '@opentelemetry/api';
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { specsWith } from '../foreign/found.js';
import { RunningViewer, until } from '../foreign/running-viewer.js';
import { jaegerBinary, type RunningJaeger, startJaeger } from './jaeger-server.js';
import { startTee } from './otlp-tee.js';
import { expectSame, micros, runSample, type ToldSpan } from './sample-run.js';

interface Tag {
  readonly key: string;
  readonly value: unknown;
}

/** Of the answers of Jaeger's query service, what is looked at here. */
interface JaegerTrace {
  readonly spans: readonly {
    readonly spanID: string;
    readonly references: readonly { readonly refType: string; readonly traceID: string; readonly spanID: string }[];
    readonly operationName: string;
    readonly processID: string;
    readonly startTime: number;
    readonly duration: number;
    readonly tags: readonly Tag[];
    readonly logs: readonly { readonly fields: readonly Tag[] }[];
  }[];
  readonly processes: Readonly<Record<string, { readonly serviceName: string; readonly tags: readonly Tag[] }>>;
}

const valuesOf = (tags: readonly Tag[]) => Object.fromEntries(tags.map(({ key, value }) => [key, value]));

function told({ spans, processes }: JaegerTrace): ToldSpan[] {
  return spans.map(({ spanID, references, operationName, processID, startTime, duration, tags, logs }) => {
    const { serviceName, tags: resource } = processes[processID]!;
    const { 'span.kind': kind = '', ...attributes } = valuesOf(tags);
    return {
      id: spanID,
      parent: references.find(({ refType }) => refType === 'CHILD_OF')?.spanID,
      name: operationName,
      service: serviceName,
      kind: String(kind),
      start: startTime,
      duration,
      attributes: { ...valuesOf(resource), ...attributes },
      events: logs.map(({ fields }) => String(valuesOf(fields).event)),
    };
  });
}

/** As Jaeger keeps it: what is not an attribute becomes a tag, lists become JSON. */
function ours({ resource, attributes, scope, status, statusMessage, ...span }: TraceSpan): ToldSpan {
  const { 'service.name': _service, ...process } = resource;
  return {
    id: span.spanId,
    parent: span.parentSpanId,
    name: span.name,
    service: span.service,
    kind: span.kind,
    start: micros(span.startNs),
    duration: micros(span.endNs - span.startNs),
    attributes: {
      ...Object.fromEntries(Object.entries({ ...process, ...attributes }).map(([key, value]) => [key, kept(value)])),
      'otel.scope.name': scope.name,
      ...(scope.version !== undefined && { 'otel.scope.version': scope.version }),
      ...(status !== 'unset' && { 'otel.status_code': status.toUpperCase() }),
      ...(status === 'error' && { error: true }),
      ...(statusMessage !== undefined && { 'otel.status_description': statusMessage }),
    },
    events: span.events.map(({ name }) => name),
  };
}

const kept = (value: AttributeValue | undefined) => (Array.isArray(value) ? JSON.stringify(value) : value);

const binary = await jaegerBinary();

describe('Jaeger', () => {
  const specs = specsWith('Jaeger', binary);
  let viewer: RunningViewer;
  let jaeger: RunningJaeger | undefined;

  beforeAll(async () => {
    viewer = await RunningViewer.start();
  });

  afterAll(() => Promise.all([viewer.stop(), jaeger?.stop()]));

  /** The trace in Jaeger as soon as it has so many spans. */
  async function inJaeger(traceId: string, spanCount: number): Promise<ToldSpan[]> {
    let spans: ToldSpan[] = [];
    await until(`${spanCount} spans in Jaeger`, async () => {
      const answer = await fetch(`${jaeger?.query ?? ''}/api/traces/${traceId}`);
      const { data } = (await answer.json()) as { data: readonly JaegerTrace[] | null };
      spans = (data ?? []).flatMap(told);
      return spans.length >= spanCount;
    });
    return spans;
  }

  specs(
    'has the traces of the sample, span by span as our viewer has them, and takes the downloads of our viewer for the same',
    async file => {
      jaeger = await startJaeger(file);
      const tee = await startTee([jaeger.otlp, viewer.url]);
      const traces = await runSample(viewer, { OTEL_EXPORTER_OTLP_ENDPOINT: tee.url }).finally(tee.stop);
      for (const trace of traces) {
        const { traceId } = trace[0]!;
        expectSame(await inJaeger(traceId, trace.length), trace.map(ours));
        // Under another id, or it would be the trace that is there already.
        const copyId = randomBytes(16).toString('hex');
        const body = (await viewer.download(traceId)).replaceAll(traceId, copyId);
        const headers = { 'content-type': 'application/json' };
        expect((await fetch(`${jaeger.otlp}/v1/traces`, { method: 'POST', headers, body })).status).toBe(200);
        expectSame(await inJaeger(copyId, trace.length), trace.map(ours));
      }
    },
    180_000,
  );
});
