/** Checks that an exception has one event per request, on the innermost span that saw it. */
import { Controller, Get, HttpException, Injectable } from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Span } from '../../../lib/index.js';
import { adapters, startApplication, type TestApplication } from './http-application.js';

@Injectable()
class Orders {
  @Span() load(kind: string): Promise<string> {
    return this.query(kind);
  }
  @Span() private async query(kind: string): Promise<string> {
    await Promise.resolve();
    if (kind === 'text') throw 'a text';
    throw new TypeError('no such table');
  }
  @Span() call(): Promise<unknown> {
    // No server listens on this port.
    return fetch('http://127.0.0.1:2/');
  }
}

@Controller()
class OrdersController {
  constructor(private readonly orders: Orders) {}

  @Get('error') error() {
    return this.orders.load('error');
  }
  @Get('text') text() {
    return this.orders.load('text');
  }
  @Get('wrapped') async wrapped() {
    try {
      return await this.orders.load('error');
    } catch (cause) {
      throw new HttpException({ code: 7 }, 502, { cause });
    }
  }
  @Get('called') called() {
    return this.orders.call();
  }
  @Get('handled') async handled() {
    return this.orders.load('error').catch(() => 'all is well');
  }
  @Get('refused') refused() {
    throw new HttpException({ code: 7 }, 503);
  }
}

describe.each(adapters)('an exception in a request on %s', adapter => {
  let test: TestApplication;
  beforeAll(async () => (test = await startApplication(adapter, { controllers: [OrdersController], providers: [Orders] })));
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  /** Returns the exception messages of each span, innermost first. */
  async function exceptionsOf(path: string) {
    await test.request(path);
    await test.recorder.waitForSpan(({ kind }) => kind === SpanKind.SERVER);
    return test.recorder.spans.map(({ name, events }) => [
      name,
      ...events.map(({ attributes }) => String(attributes!['exception.message']).replace(/127.*$/, '')),
    ]);
  }
  const server = () => test.recorder.find(({ kind }) => kind === SpanKind.SERVER)!;

  it('has its event on the innermost span, and its message in the status of all', async () => {
    expect(await exceptionsOf('/error')).toEqual([['Orders.query', 'no such table'], ['Orders.load'], ['GET /error']]);
    expect(test.recorder.spans.map(({ status }) => status)).toEqual(
      Array.from({ length: 3 }, () => ({ code: SpanStatusCode.ERROR, message: 'no such table' })),
    );
    expect(test.recorder.spans.map(({ attributes }) => attributes['error.type'])).toEqual(['TypeError', 'TypeError', '500']);
  });

  it('has it in each request', async () => {
    const first = await exceptionsOf('/error');
    test.recorder.clear();
    expect(await exceptionsOf('/error')).toEqual(first);
  });

  it('is told once too where a text is thrown', async () => {
    expect(await exceptionsOf('/text')).toEqual([['Orders.query', 'a text'], ['Orders.load'], ['GET /text']]);
  });

  it('that wraps another has its own event, which tells the cause', async () => {
    const message = 'Http Exception: {"code":7}';
    expect(await exceptionsOf('/wrapped')).toEqual([['Orders.query', 'no such table'], ['Orders.load'], ['GET /wrapped', message]]);
    const [event] = server().events;
    expect(event!.attributes!['exception.stacktrace']).toContain('\nCaused by: TypeError: no such table\n');
    expect(server().status.message).toBe(message);
  });

  it('of fetch has the event of the connection on the call, and that of fetch around it', async () => {
    expect(await exceptionsOf('/called')).toEqual([
      ['GET', 'connect ECONNREFUSED '],
      ['Orders.call', 'fetch failed: connect ECONNREFUSED '],
      ['GET /called'],
    ]);
    expect(test.recorder.spans.map(({ attributes }) => attributes['error.type'])).toEqual(['ECONNREFUSED', 'ECONNREFUSED', '500']);
  });

  it('that the handler deals with fails only what it escaped', async () => {
    expect(await exceptionsOf('/handled')).toEqual([['Orders.query', 'no such table'], ['Orders.load'], ['GET /handled']]);
    expect(server().status.code).toBe(SpanStatusCode.UNSET);
  });

  it('that no other span saw stands on that of the request', async () => {
    expect(await exceptionsOf('/refused')).toEqual([['GET /refused', 'Http Exception: {"code":7}']]);
  });
});
