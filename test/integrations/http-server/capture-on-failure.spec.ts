/** What is recorded of requests that fail or take long, with inbound.captureOnFailure. */
import { Body, Controller, Get, HttpException, Param, Post, Req } from '@nestjs/common';
import type { CaptureOptions } from '../../../lib/index.js';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { adapters, startApplication, type TestApplication } from './http-application.js';

@Controller('orders')
class OrdersController {
  @Post(':id') save(@Param('id') id: string, @Body() body: { status?: number }) {
    if (body.status !== undefined) throw new HttpException('no', body.status);
    return { id };
  }

  /** Parsers may make anything of a body. */
  @Post('parsed/oddly') odd(@Req() request: { body: object; params: object }) {
    request.params = new Proxy({}, { getOwnPropertyDescriptor: () => { throw new Error('untouchable'); } }); // prettier-ignore
    request.body = oddBody();
    throw new Error('broken');
  }

  @Get(':id') one() {
    throw new Error('broken');
  }
}

const captureOnFailure: CaptureOptions = {
  headers: ['x-tenant', 'authorization', 'x-keep'],
  query: ['page', 'token', 'none'],
  params: ['id'],
  body: ['customer', 'note', 'items.0.sku', 'missing', 'pin'],
  redact: ['pin', /\bsecret-\d+/],
};
const body = {
  status: 500,
  customer: { name: 'Ann', password: 'hunter2', nested: { apiKey: 'k', pin: 1 } },
  note: 'card 4111 1111 1111 1111, secret-42, Bearer abc.def',
  items: [{ sku: 'A1' }],
  pin: 1234,
  other: 'never listed',
};

function oddBody(): object {
  class Form {
    readonly text = 'a';
    readonly cvv = '123';
    toJSON = (): never => {
      throw new Error('called');
    };
  }
  const circle: Record<string, unknown> = { ssn: '078-05-1120', card: 4111111111111111, when: 12n };
  circle['self'] = circle;
  return {
    circle,
    file: Buffer.alloc(3_000_000),
    form: new Form(),
    getter: Object.defineProperty({ seen: 1 }, 'unseen', { enumerable: true, get: () => circle }),
    list: Array.from({ length: 30 }, (_, index) => index),
    password: { value: 'hunter2' },
    polluted: JSON.parse('{"__proto__":{"admin":true}}') as object,
  };
}

describe.each(adapters)('inbound.captureOnFailure on %s', adapter => {
  let test: TestApplication;
  afterEach(() => test.close());

  const start = async (options: CaptureOptions = captureOnFailure) => {
    const keepHeader = { name: 'x-keep', secret: '0123456789abcdef' };
    test = await startApplication(adapter, { controllers: [OrdersController], inbound: { captureOnFailure: options, keepHeader } });
  };
  const post = (path: string, data: object) => {
    const headers = { 'content-type': 'application/json', 'x-tenant': 'acme', authorization: 'Basic abc', 'x-keep': '0123456789abcdef' };
    return test.request(path, { method: 'POST', headers }, JSON.stringify(data));
  };
  const captured = () => {
    const { attributes } = test.recorder.spans.at(-1)!;
    return Object.fromEntries(Object.entries(attributes).filter(([key]) => /^(nestjs\.request|http\.request\.header)\./.test(key)));
  };

  it('records what is listed of a request that failed, without secrets', async () => {
    await start();
    await post('/orders/7?page=2&token=abc&other=1', body);
    await test.recorder.waitForSpans(1);
    expect(captured()).toEqual({
      'http.request.header.x-tenant': ['acme'],
      'http.request.header.authorization': ['REDACTED'],
      'nestjs.request.query.page': '2',
      'nestjs.request.query.token': 'REDACTED',
      'nestjs.request.param.id': '7',
      'nestjs.request.body.customer': JSON.stringify({
        name: 'Ann',
        password: 'REDACTED',
        nested: { apiKey: 'REDACTED', pin: 'REDACTED' },
      }),
      'nestjs.request.body.note': 'card REDACTED, REDACTED, REDACTED',
      'nestjs.request.body.items.0.sku': 'A1',
      'nestjs.request.body.pin': 'REDACTED',
    });
  });

  it('reads bodies of any form without running their code, and the other parts even if one cannot be read', async () => {
    const fields = ['circle', 'file', 'form', 'getter', 'list', 'password.value', 'polluted'];
    await start({ headers: ['x-tenant'], params: ['id'], body: fields, redact: [/^\d{3}-\d{2}-\d{4}$/] });
    await post('/orders/parsed/oddly', {});
    await test.recorder.waitForSpans(1);
    const inner = { ssn: 'REDACTED', card: 'REDACTED', when: '12' };
    const shown = { ...inner, self: { ...inner, self: { ...inner, self: { ...inner, self: '…' } } } };
    expect(captured()).toEqual({
      'http.request.header.x-tenant': ['acme'],
      'nestjs.request.body.circle': JSON.stringify(shown),
      'nestjs.request.body.file': '3000000 bytes',
      'nestjs.request.body.form': '{"text":"a","cvv":"REDACTED"}',
      'nestjs.request.body.getter': '{"seen":1}',
      'nestjs.request.body.list': '[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,"…"]',
      'nestjs.request.body.password.value': 'REDACTED',
      'nestjs.request.body.polluted': '{"__proto__":{"admin":true}}',
    });
  });

  it('records nothing of a request that succeeds or is answered with 4xx, and of 4xx if fromStatus says so', async () => {
    await start();
    await post('/orders/7?page=2', {});
    await post('/orders/7?page=2', { status: 400 });
    await test.recorder.waitForSpans(2);
    expect(captured()).toEqual({});
    await test.close();
    await start({ ...captureOnFailure, fromStatus: 400 });
    await post('/orders/7?page=2', { status: 400 });
    await test.recorder.waitForSpans(1);
    expect(captured()).toMatchObject({ 'nestjs.request.query.page': '2' });
  });

  it('records slow requests, too, where it is told what is slow', async () => {
    await start({ params: ['id'], slowerThanMs: 0 });
    await post('/orders/7', {});
    await test.recorder.waitForSpans(1);
    expect(captured()).toEqual({ 'nestjs.request.param.id': '7' });
  });

  it('records no more than the limits allow', async () => {
    await start({ query: ['a', 'b', 'c'], maxLength: 5, maxTotalLength: 8 });
    await test.request(`/orders/7?a=${'x'.repeat(100)}&b=12345&c=1`);
    await test.recorder.waitForSpans(1);
    expect(captured()).toEqual({ 'nestjs.request.query.a': 'xxxxx…', 'nestjs.request.query.b': '123…' });
  });

  it('keeps 100 requests at once apart', async () => {
    await start({ params: ['id'], query: ['page'] });
    await Promise.all(Array.from({ length: 100 }, (_, index) => test.request(`/orders/${index}?page=${index}`)));
    const spans = await test.recorder.waitForSpans(100, { timeoutMs: 10_000 });
    const pairs = spans.map(({ attributes }) => [
      attributes['url.path'],
      attributes['nestjs.request.param.id'],
      attributes['nestjs.request.query.page'],
    ]);
    expect(pairs.filter(([path, id, page]) => path !== `/orders/${String(id)}` || id !== page)).toEqual([]);
  });
});

describe('a mistake in inbound.captureOnFailure', () => {
  it('stops the start', () => {
    const resolve = (options: object) => () => resolveOptions({ inbound: { captureOnFailure: options } });
    expect(resolve({ fromStatus: 200 })).toThrow('"inbound.captureOnFailure.fromStatus"');
    expect(resolve({ redact: [1] })).toThrow('"inbound.captureOnFailure.redact[0]"');
    expect(resolve({ cookies: [] })).toThrow('"inbound.captureOnFailure.cookies" does not exist');
  });
});
