import { createRequire } from 'node:module';
import { Controller, Get, Param } from '@nestjs/common';
import { SpanKind, trace } from '@opentelemetry/api';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { adapters, startApplication } from './http-application.js';

const require = createRequire(import.meta.url);

/** Does what requiring `http` under the instrumentation does: jest's own module loader knows no hooks. */
function instrumentServers(): () => void {
  const instrumentation = new HttpInstrumentation({ disableOutgoingRequestInstrumentation: true });
  instrumentation.disable();
  // Theirs go where ours go.
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
  /** The scope of the one span that a request makes, which has its route and handler whoever opened it. */
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
