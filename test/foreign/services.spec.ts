/** Services in Go and Python in one trace with Nest services, all of them sending to the viewer with their defaults. */
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { type Found, specsWith } from './found.js';
import { type Command, Program } from '../../sample/runner/program.js';
import { RunningViewer, treeOf } from './running-viewer.js';
import { goService, pythonService } from './toolchains.js';

const NOBODY = 'http://127.0.0.1:1';

interface Foreign {
  readonly language: string;
  readonly service: string;
  readonly found: Found<Command>;
  /** What its instrumentation calls a span of a server and of a client. */
  readonly server: string;
  readonly client: string;
  /** `error.type` or `error` of the client's span when nobody listens. */
  readonly refusal: string;
}

const foreigners: readonly Foreign[] = [
  { language: 'go', service: 'go-service', found: await goService(), server: 'GET /', client: 'HTTP GET', refusal: 'error=*net.OpError' },
  { language: 'python', service: 'python-service', found: await pythonService(), server: 'GET /', client: 'GET', refusal: 'error' },
];

describe.each(foreigners)('A service in $language', ({ language, service, found, server, client, refusal }) => {
  const specs = specsWith(`a service in ${language}`, found);
  const running: Program[] = [];
  let viewer: RunningViewer;

  beforeAll(async () => {
    viewer = await RunningViewer.start();
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map(program => program.stop()));
    await viewer.clear();
  });

  afterAll(() => viewer.stop());

  /** Starts a service that sends its spans to the viewer; its address. */
  async function start(name: string, command: Command, env: NodeJS.ProcessEnv): Promise<string> {
    const program = await Program.start({
      ...command,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: viewer.url, OTEL_SERVICE_NAME: name, OTEL_BSP_SCHEDULE_DELAY: '50', ...env },
    });
    running.push(program);
    return program.found;
  }

  const startNest = (name: string, env: NodeJS.ProcessEnv = {}) =>
    start(
      name,
      { command: process.execPath, args: [`sample/dist/01-two-services/${name}.js`] },
      { PORT: '0', OTEL_TRACES_EXPORTER: 'otlp', ...env },
    );

  /** The one trace that `url` leaves, when it has so many spans. */
  async function traceOf(url: string, status: number, spanCount: number): Promise<readonly TraceSpan[]> {
    const answer = await fetch(url);
    await answer.text();
    expect(answer.status).toBe(status);
    const traces = await viewer.traces(spanCount);
    expect(traces).toMatchObject([{ spanCount, isRootMissing: false }]);
    return viewer.spans(traces[0]!.traceId);
  }

  specs('stands between two Nest services in one trace', async command => {
    const last = await startNest('service-2');
    const middle = await start(service, command, { DOWNSTREAM_URL: last });
    const first = await startNest('service-1', { SERVICE_2_URL: middle });
    const spans = await traceOf(first, 200, 7);
    expect(treeOf(spans).split('\n')).toEqual([
      'service-1: GET / (server)',
      '  GET (client)',
      `    ${service}: ${server} (server)`,
      '      pass on',
      `        ${client} (client)`,
      '          service-2: GET / (server)',
      '            service2-custom-work',
    ]);
    const languages = new Map(spans.map(span => [span.service, span.resource['telemetry.sdk.language']]));
    expect(Object.fromEntries(languages)).toEqual({ 'service-1': 'nodejs', [service]: language, 'service-2': 'nodejs' });
    expect(spans.find(({ name }) => name === 'pass on')?.attributes).toMatchObject({ hops: 1, via: [language, expect.any(String)] });
  });

  specs('begins a trace that a Nest service goes on with', async command => {
    const last = await startNest('service-2');
    const spans = await traceOf(await start(service, command, { DOWNSTREAM_URL: last }), 200, 5);
    expect(treeOf(spans).split('\n')).toEqual([
      `${service}: ${server} (server)`,
      '  pass on',
      `    ${client} (client)`,
      '      service-2: GET / (server)',
      '        service2-custom-work',
    ]);
  });

  specs('shows its failure below the Nest service that called it', async command => {
    const last = await start(service, command, { DOWNSTREAM_URL: NOBODY });
    const spans = await traceOf(await startNest('service-1', { SERVICE_2_URL: last }), 500, 5);
    expect(treeOf(spans).split('\n')).toEqual([
      'service-1: GET / (server) error=500',
      '  GET (client) error=502',
      `    ${service}: ${server} (server) error`,
      '      pass on error',
      `        ${client} (client) ${refusal}`,
    ]);
    const failed = spans.find(({ name }) => name === 'pass on')!;
    expect(failed).toMatchObject({ status: 'error', statusMessage: 'the downstream cannot be reached' });
    expect(failed.events.map(({ name, attributes }) => [name, attributes?.['exception.message']])).toEqual([
      ['exception', expect.stringMatching(/refused/i)],
    ]);
  });
});
