/** The sample's traces in a real Zipkin: read back through its API, they are the ones that our viewer has. */
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { specsWith } from '../foreign/found.js';
import type { Program } from '../../sample/runner/program.js';
import { RunningViewer, until } from '../foreign/running-viewer.js';
import { expectSame, micros, runSample, type ToldSpan } from './sample-run.js';
import { startZipkin, zipkinJar } from './zipkin-server.js';

/** Of Zipkin's v2 format, what is looked at here. */
interface ZipkinSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId?: string;
  readonly name: string;
  readonly kind?: string;
  readonly timestamp: number;
  readonly duration: number;
  readonly localEndpoint: { readonly serviceName: string };
  readonly tags: Readonly<Record<string, string>>;
  readonly annotations?: readonly { readonly value: string }[];
}

const told = ({ id, parentId, name, kind = '', timestamp, duration, localEndpoint, tags, annotations = [] }: ZipkinSpan): ToldSpan => ({
  id,
  parent: parentId,
  name,
  service: localEndpoint.serviceName,
  kind,
  start: timestamp,
  duration,
  attributes: tags,
  events: annotations.map(({ value }) => value),
});

/** As Zipkin keeps it: small letters, and tags that are text. */
const ours = (span: TraceSpan): ToldSpan => ({
  id: span.spanId,
  parent: span.parentSpanId,
  name: span.name.toLowerCase(),
  service: span.service,
  kind: span.kind === 'internal' ? '' : span.kind.toUpperCase(),
  start: micros(span.startNs),
  duration: Math.max(1, micros(span.endNs - span.startNs)),
  attributes: {
    ...Object.fromEntries(Object.entries({ ...span.resource, ...span.attributes }).map(([key, value]) => [key, String(value)])),
    ...(span.status !== 'unset' && { 'otel.status_code': span.status.toUpperCase() }),
    // OpenTelemetry's exporter leaves this tag out where there is nothing to say.
    ...(span.statusMessage !== undefined && { error: span.statusMessage }),
  },
  events: span.events.map(({ name }) => name),
});

const jar = await zipkinJar();

describe('Zipkin', () => {
  const specs = specsWith('Zipkin', jar);
  let viewer: RunningViewer;
  let zipkin: Program | undefined;

  beforeAll(async () => {
    viewer = await RunningViewer.start();
  });

  afterAll(() => Promise.all([viewer.stop(), zipkin?.stop()]));

  specs(
    'has the traces of the sample, span by span as our viewer has them',
    async file => {
      zipkin = await startZipkin(file);
      const { found: url } = zipkin;
      const traces = await runSample(viewer, {
        OTEL_TRACES_EXPORTER: 'zipkin',
        OTEL_EXPORTER_ZIPKIN_ENDPOINT: `${url}/api/v2/spans`,
        OTEL_EXPORTER_OTLP_ENDPOINT: viewer.url,
      });
      for (const trace of traces) {
        let spans: ZipkinSpan[] = [];
        await until(`${trace.length} spans in Zipkin`, async () => {
          const answer = await fetch(`${url}/api/v2/trace/${trace[0]!.traceId}`);
          spans = answer.ok ? ((await answer.json()) as ZipkinSpan[]) : [];
          return spans.length >= trace.length;
        });
        expectSame(spans.map(told), trace.map(ours));
      }
    },
    180_000,
  );
});
