import { createRequire } from 'node:module';
import { Controller, Get, Param } from '@nestjs/common';
import { SpanKind, trace } from '@opentelemetry/api';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { adapters, startApplication } from './http-application.js';

const require = createRequire(import.meta.url);

/** Patches `http` as the instrumentation does at `require`. jest's module loader does not support its hooks. */
function instrumentServers(): () => void {
  const instrumentation = new HttpInstrumentation({ disableOutgoingRequestInstrumentation: true });
  instrumentation.disable();
  // Their spans have the same exporter as ours.
  instrumentation.setTracerProvider({ getTracer: (name, version) => trace.getTracer(name, version) });
  const definitions = instrumentation['init']();
  for (const { name, patch } of definitions) patch?.(require(name), undefined);
  return () => {
    for (const { name, unpatch } of definitions.splice(0)) unpatch?.(require(name), undefined);
  };
}

@Controller()
class UsersController {
  @Get('users/:id') one(@Param('id') id: string) {
    return id;
  }
}

const THEIRS = '@opentelemetry/instrumentation-http';
const OURS = 'nestjs-tracing';

describe.each(adapters)('a request on %s that instrumentation-http sees too', adapter => {
  /** Returns the scope of the only span of a request. The span must have route and handler, whoever started it. */
  async function makerOf(before: () => void, after: () => void): Promise<string> {
    before();
    const test = await startApplication(adapter, { controllers: [UsersController] });
    try {
      after();
      await test.request('/users/7');
    } finally {
      await test.close();
    }
    expect(test.recorder.spans).toHaveLength(1);
    const [span] = test.recorder.spans;
    expect(span).toMatchObject({ name: 'GET /users/:id', kind: SpanKind.SERVER });
    expect(span!.attributes).toMatchObject({ 'http.route': '/users/:id', 'code.function.name': 'UsersController.one' });
    return span!.instrumentationScope.name;
  }

  let stop: () => void = () => undefined;
  const start = () => void (stop = instrumentServers());
  afterEach(() => stop());

  it('has the span of the instrumentation where that was there first', async () => {
    expect(await makerOf(start, () => undefined)).toBe(THEIRS);
  });

  it('has the span of the instrumentation where that comes when the application listens', async () => {
    expect(await makerOf(() => undefined, start)).toBe(THEIRS);
  });

  it('has ours where the instrumentation is switched off when the application listens', async () => {
    expect(await makerOf(start, () => stop())).toBe(OURS);
  });
});
