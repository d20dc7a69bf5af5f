/** The samples, run as the README says: real processes, real sockets, the traces read where a backend would read them. */
import { kafka } from '../../sample/brokers/kafka.js';
import { mosquitto } from '../../sample/brokers/mosquitto.js';
import { nats } from '../../sample/brokers/nats.js';
import { rabbitmq } from '../../sample/brokers/rabbitmq.js';
import { redis } from '../../sample/brokers/redis.js';
import { startBackend, Workbench } from './workbench.js';

const workbench = new Workbench();
const RUNNER = 'sample/dist/run.js';

let asTheReadmeSays: Awaited<ReturnType<Workbench['run']>>;

beforeAll(async () => {
  asTheReadmeSays = await workbench.run('npm', ['run', '--silent', 'sample']);
}, 240_000);

afterAll(() => workbench.remove());

/** Whether a process of this id exists. */
function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

const processIds = (output: string) => [...output.matchAll(/runs as process (\d+) /g)].map(match => Number(match[1]));

/** TCP, gRPC and the socket need no broker; BullMQ keeps its jobs in Redis. */
const hops = () => 3 + [redis, redis, nats, rabbitmq, kafka, mosquitto].filter(kind => kind.missing() === undefined).length;

describe('npm run sample', () => {
  it('builds, runs three services and finds every trace as it should be', () => {
    expect(asTheReadmeSays).toMatchObject({ code: 0, output: expect.stringContaining('All 5 traces are as expected') });
    expect(processIds(asTheReadmeSays.output)).toHaveLength(3);
  });

  it('prints each trace as one tree across the services', () => {
    const { output } = asTheReadmeSays;
    expect(output.match(/^ *(?:trace )/gm)).toHaveLength(5);
    expect(output).toMatch(/^✔ GET \/orders\/:id {2}200 .* 8 spans {2}api-gateway$/m);
    expect(output).toMatch(/└ \[order-service\] GET \/orders\/:id 200/);
    expect(output).toMatch(/└ \[user-service\] GET \/users\/:id 200/);
    expect(output).toMatch(/PricesService\.priceOf ×12 +sum /);
    expect(output).toMatch(/Error: malformed JSON {2}at .*user-service\.ts:\d+/);
  });

  it('stops everything it started, and says what to open next', () => {
    expect(processIds(asTheReadmeSays.output).filter(isAlive)).toEqual([]);
    expect(asTheReadmeSays.output).toMatch(/Open next:\n {2}sample\/02-order-system/);
  });

  it('runs the two services when asked for sample 01', async () => {
    const { code, output } = await workbench.run('node', [RUNNER, '01']);
    expect(output).toContain('The trace is as expected');
    expect(output).toMatch(/└ service2-custom-work +1\d\d ms/);
    expect(code).toBe(0);
  });

  it('sends one parcel through every transport whose broker is on this machine: one trace', async () => {
    const { code, output } = await workbench.run('node', [RUNNER, '03']);
    for (const [reason] of output.matchAll(/^Left out: .*$/gm)) process.stderr.write(`SKIPPED hops of the sample: ${reason}\n`);
    expect(output).toContain(`A parcel takes ${hops()} hops`);
    expect(output).toContain('The trace is as expected');
    expect(code).toBe(0);
  }, 180_000);

  it('names the samples there are when asked for another', async () => {
    expect(await workbench.run('node', [RUNNER, '99'])).toMatchObject({
      code: 1,
      output: expect.stringContaining('01-two-services and 02-order-system and 03-every-transport'),
    });
  });

  it('fails, and still stops everything, when a trace is not what it should be', async () => {
    const { code, output } = await workbench.run('node', [RUNNER, '01'], { OTEL_TRACES_SAMPLER: 'always_off' });
    expect(code).toBe(1);
    expect(output).toContain('TraceRecorder waited');
    expect(processIds(output)).toHaveLength(2);
    expect(processIds(output).filter(isAlive)).toEqual([]);
  });

  it('sends the same traces to an OTLP collector, with the headers it asks for', async () => {
    const backend = await startBackend();
    try {
      const { code, output } = await workbench.run('node', [RUNNER, '01'], {
        OTEL_EXPORTER_OTLP_ENDPOINT: backend.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=secret',
      });
      expect(output).toContain(`The same was sent to ${backend.url}/v1/traces`);
      expect(code).toBe(0);
      const bodies = backend.deliveries.map(({ body }) => body).join('\n');
      for (const name of ['service2-custom-work', 'Finished work', 'service-1', 'service-2']) expect(bodies).toContain(name);
      expect(backend.deliveries.every(({ path, headers }) => path === '/v1/traces' && headers['x-api-key'] === 'secret')).toBe(true);
    } finally {
      await backend.stop();
    }
  });

  it('fails with its answer when the collector refuses the traces', async () => {
    const backend = await startBackend(403);
    try {
      const { code, output } = await workbench.run('node', [RUNNER, '01'], { OTEL_EXPORTER_OTLP_ENDPOINT: backend.url });
      expect(output).toContain(`Your collector did not get the traces: ${backend.url}/v1/traces answered 403`);
      expect(code).toBe(1);
    } finally {
      await backend.stop();
    }
  });

  it('sends the same traces to Zipkin when OTEL_TRACES_EXPORTER says so', async () => {
    const backend = await startBackend(202);
    try {
      const { code, output } = await workbench.run('node', [RUNNER, '01'], {
        OTEL_TRACES_EXPORTER: 'zipkin',
        OTEL_EXPORTER_ZIPKIN_ENDPOINT: `${backend.url}/api/v2/spans`,
      });
      expect(output).toContain('The same was sent to Zipkin');
      expect(code).toBe(0);
      const spans = backend.deliveries.flatMap(
        ({ body }) => JSON.parse(body) as { name: string; traceId: string; localEndpoint: { serviceName: string } }[],
      );
      expect(spans.map(span => `${span.localEndpoint.serviceName} ${span.name}`).sort()).toEqual([
        'service-1 GET',
        'service-1 GET /',
        'service-2 GET /',
        'service-2 service2-custom-work',
      ]);
      expect(new Set(spans.map(span => span.traceId)).size).toBe(1);
    } finally {
      await backend.stop();
    }
  });
});
