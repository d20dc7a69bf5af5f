/** What is recorded of bodies as clients and parsers make them: forms, files, GraphQL, streams, and what somebody sends to do harm. */
import http from 'node:http';
import { Readable } from 'node:stream';
import { Controller, Get, HttpException, Post, Req, Res, UploadedFile, UseInterceptors } from '@nestjs/common';
import { FileInterceptor } from '@nestjs/platform-express';
import { RouteSchema } from '@nestjs/platform-fastify';
import { Args, Field, InputType, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { CaptureOptions } from '../../../lib/index.js';
import { GraphqlApplication, servers } from '../graphql/graphql-application.js';
import { untraced } from '../../untraced-call.js';
import { adapters, type Adapter, type Setup, startApplication, type TestApplication } from './http-application.js';

const SECRET = 'hunter2';

@Controller()
class BodiesController {
  static bodies: unknown[] = [];
  /** Replaces the body of the next request, as a parser may make it. */
  static parsed: unknown;

  @Post('fail') fail(@Req() request: { body: unknown }) {
    if (BodiesController.parsed !== undefined) request.body = BodiesController.parsed;
    BodiesController.bodies.push(request.body);
    throw new Error('broken');
  }

  @Post('file')
  @UseInterceptors(FileInterceptor('file', { limits: { fileSize: 1000 } }))
  file(@UploadedFile() _file: unknown, @Req() request: { body: unknown }) {
    BodiesController.bodies.push(request.body);
    throw new Error('broken');
  }

  /** Sends the body back while it comes in, and then fails. */
  @Post('piped') piped(@Req() request: http.IncomingMessage & { raw?: http.IncomingMessage }, @Res() reply: Reply) {
    reply.hijack?.();
    const response = reply.raw ?? reply;
    response.statusCode = 503;
    (request.raw ?? request).pipe(response);
  }

  /** Waits until the client has left, and then fails. */
  @Post('late') async late(@Req() request: http.IncomingMessage & { raw?: http.IncomingMessage }) {
    const { socket } = request.raw ?? request;
    if (!socket.destroyed) await new Promise(resolve => socket.once('close', resolve));
    throw new HttpException('too late', 502);
  }

  @Get('fine') fine() {
    return 'fine';
  }
}

type Reply = http.ServerResponse & { raw?: http.ServerResponse; hijack?: () => void };

const everything: CaptureOptions = {
  headers: ['x-tenant', 'authorization', 'cookie', 'referer', 'constructor'],
  query: ['page', 'filter[pin]', 'variables'],
  params: ['id', 'constructor'],
  body: ['user', 'user[name]', 'user[pin]', 'user[Pass]', 'tags', 'constructor', '__proto__', 'file', 'length', '0', 'x'],
  fromStatus: 400,
};

let test: TestApplication;
afterEach(async () => {
  BodiesController.parsed = undefined;
  BodiesController.bodies = [];
  await test.close();
});

async function start(adapter: Adapter, captureOnFailure: CaptureOptions = everything, setup: Partial<Setup> = {}): Promise<void> {
  test = await startApplication(adapter, { controllers: [BodiesController], inbound: { captureOnFailure }, ...setup });
}

/** Returns what was recorded of the last request. */
async function captured(count = 1): Promise<Record<string, unknown>> {
  const spans = await test.recorder.waitForSpans(count);
  return recordedIn(spans.at(-1)!.attributes);
}

function recordedIn(attributes: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(attributes).filter(([key]) => /^(nestjs\.request|http\.request\.header)\./.test(key)));
}

function post(path: string, type: string, body: string | Buffer, headers: http.OutgoingHttpHeaders = {}) {
  return test.request(path, { method: 'POST', headers: { 'content-type': type, ...headers } }, body);
}

async function capturedOf(parsed: object, options: Partial<CaptureOptions> = {}): Promise<Record<string, unknown>> {
  BodiesController.parsed = parsed;
  await start('express', { body: Object.keys(parsed), ...options });
  await post('/fail', 'application/json', '{}');
  return captured();
}

/** Sends a part of a body, waits until the server works on the request if `path` says so, and breaks the connection. */
async function sendHalf(path: string, type: string, part: string, length = 10_000): Promise<void> {
  const headers = { 'content-type': type, 'content-length': length, 'x-tenant': 'acme' };
  const request = untraced(() => http.request({ host: '127.0.0.1', port: test.port, path, method: 'POST', headers, agent: false }));
  request.on('error', () => undefined);
  const isReceived = new Promise(resolve => test.app.getHttpServer().once('request', resolve));
  untraced(() => request.write(part));
  await isReceived;
  await new Promise(resolve => setImmediate(resolve));
  request.destroy();
}

const BOUNDARY = 'boundary';
function multipart(parts: Record<string, string>, file?: string): string {
  const fields = Object.entries(parts).map(
    ([name, value]) => `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const upload = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n${file}\r\n`;
  return `${fields.join('')}${file === undefined ? '' : upload}--${BOUNDARY}--\r\n`;
}
const MULTIPART = `multipart/form-data; boundary=${BOUNDARY}`;

describe.each(adapters)('a body on %s', adapter => {
  it('of a form is recorded as it was parsed, with keys that mean harm as data', async () => {
    await start(adapter);
    const form = `user[name]=Ann&user[pin]=1234&user[Pass]=${SECRET}&tags=a&tags=b&__proto__[admin]=1&constructor[prototype][x]=1&x=2`;
    await post('/fail', 'application/x-www-form-urlencoded', form);
    const recorded = await captured();
    // Nest's parser for Fastify makes no objects of such keys.
    const fields = { 'user[name]': 'Ann', 'user[pin]': 'REDACTED', 'user[Pass]': 'REDACTED' };
    const shown = adapter === 'express' ? { user: '{"name":"Ann","pin":"REDACTED","Pass":"REDACTED"}' } : fields;
    for (const [key, value] of Object.entries(shown)) expect(recorded[`nestjs.request.body.${key}`]).toBe(value);
    expect(recorded['nestjs.request.body.tags']).toBe('["a","b"]');
    expect(recorded['nestjs.request.body.x']).toBe('2');
    expect(JSON.stringify(recorded)).not.toContain(SECRET);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  it('of JSON is data, whatever its keys are', async () => {
    await start(adapter);
    await post('/fail', 'application/json', '{"user":{"toJSON":"a","hasOwnProperty":1,"length":-1},"0":"first"}', {
      'x-tenant': 'acme',
      authorization: SECRET,
      cookie: `a=${SECRET}`,
      referer: `https://u:${SECRET}@host/?access_token=${SECRET}`,
    });
    expect(await captured()).toEqual({
      'http.request.header.x-tenant': ['acme'],
      'http.request.header.authorization': ['REDACTED'],
      'http.request.header.cookie': ['REDACTED'],
      'http.request.header.referer': ['https://REDACTED@host/?access_token=REDACTED'],
      'nestjs.request.body.user': '{"toJSON":"a","hasOwnProperty":1,"length":-1}',
      'nestjs.request.body.0': 'first',
    });
  });

  it('that is a list, a text or missing has no fields, and the other parts are recorded', async () => {
    await start(adapter, { ...everything, body: ['x', 'constructor'] });
    for (const [index, body] of ['["a"]', '"a text"', '12', 'null', ''].entries()) {
      await post(`/fail?page=${index}&page=x`, 'application/json', body, { 'x-tenant': ['a', 'b'] });
      const recorded = await captured(index + 1);
      expect(recorded).toEqual({ 'http.request.header.x-tenant': ['a, b'], 'nestjs.request.query.page': `${index}, x` });
    }
  });

  it('that cannot be parsed, is too large, or belongs to no route leaves the headers and the query', async () => {
    await start(adapter);
    const large = JSON.stringify({ user: 'x'.repeat(2_000_000) });
    const requests = [['/fail', '{"user":'], ['/fail', large], ['/missing', '{}']] as const; // prettier-ignore
    for (const [index, [path, body]] of requests.entries()) {
      await post(`${path}?page=${index}&filter[pin]=1234`, 'application/json', body, { 'x-tenant': 'acme' }).catch(() => undefined);
      expect(await captured(index + 1)).toEqual({
        'http.request.header.x-tenant': ['acme'],
        'nestjs.request.query.page': String(index),
        'nestjs.request.query.filter[pin]': 'REDACTED',
      });
    }
  });

  it('that breaks off half-way leaves the headers', async () => {
    await start(adapter);
    await sendHalf('/fail', 'application/json', `{"user":"${SECRET}`);
    expect(await captured()).toEqual({ 'http.request.header.x-tenant': ['acme'] });
    expect(BodiesController.bodies).toEqual([]);
  });

  it('of a request that fails after its client has left is recorded once', async () => {
    await start(adapter);
    const body = '{"user":"Ann"}';
    await sendHalf('/late', 'application/json', body, body.length);
    expect(await captured()).toEqual({ 'http.request.header.x-tenant': ['acme'], 'nestjs.request.body.user': 'Ann' });
    expect(test.recorder.spans).toHaveLength(1);
  });

  it('that is piped arrives complete, and nothing of it is recorded', async () => {
    const passOn = (app: Parameters<NonNullable<Setup['configure']>>[0]) => {
      const instance = app.getHttpAdapter().getInstance() as { addContentTypeParser?: Function };
      instance.addContentTypeParser?.('text/csv', (_request: unknown, _body: unknown, done: () => void) => done());
    };
    await start(adapter, everything, { configure: passOn });
    const body = 'x'.repeat(300_000);
    expect((await post('/piped', 'text/csv', body, { 'x-tenant': 'acme' })).body).toBe(body);
    expect(await captured()).toEqual({ 'http.request.header.x-tenant': ['acme'] });
  });

  it('is read from its parsed form only if Nest keeps the raw one, too', async () => {
    await start(adapter, { ...everything, body: ['user', 'rawBody'] }, { nest: { rawBody: true } });
    await post('/fail', 'application/json', `{"user":"Ann","other":"${SECRET}"}`);
    expect(await captured()).toEqual({ 'nestjs.request.body.user': 'Ann' });
  });

  it('is not touched by a request that is not recorded', async () => {
    await start(adapter, everything, { tracing: { sampler: 0 } });
    let reads = 0;
    BodiesController.parsed = new Proxy({}, { getOwnPropertyDescriptor: () => ((reads += 1), undefined) });
    expect((await post('/fail', 'application/json', '{}')).status).toBe(500);
    expect(reads).toBe(0);
  });
});

@Controller()
class CheckedController {
  @Post('checked/:id')
  @RouteSchema({ body: { type: 'object', required: ['age'], properties: { age: { type: 'integer' } } } })
  checked() {
    return 'fine';
  }
}

describe('a body that the schema of a Fastify route refuses', () => {
  it('is recorded with the route and its parameters, if fromStatus says so', async () => {
    await start('fastify', everything, { controllers: [CheckedController] });
    const { status } = await post('/checked/7', 'application/json', `{"age":"${SECRET}","user":{"name":"Ann","otp":"${SECRET}"}}`);
    expect(status).toBe(400);
    expect(await captured()).toEqual({
      'nestjs.request.param.id': '7',
      'nestjs.request.body.user': '{"name":"Ann","otp":"REDACTED"}',
    });
  });
});

describe('a file that is uploaded through multer', () => {
  it('is not recorded, but fields beside it are', async () => {
    await start('express');
    const fields = { 'user[name]': 'Ann', 'user[password]': SECRET, 'tags[]': 'a', '__proto__[admin]': '1' };
    await post('/file', MULTIPART, multipart(fields, 'the content'));
    expect(BodiesController.bodies).toHaveLength(1);
    expect(await captured()).toEqual({
      'nestjs.request.body.user': '{"name":"Ann","password":"REDACTED"}',
      'nestjs.request.body.tags': '["a"]',
      // A member of its own, as it was sent.
      'nestjs.request.body.__proto__': '{"admin":"1"}',
    });
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  it('may be too large, or break off', async () => {
    await start('express');
    const { status } = await post('/file', MULTIPART, multipart({ 'user[name]': 'Ann' }, 'x'.repeat(2000)));
    expect(status).toBe(413);
    expect(await captured()).toEqual({ 'nestjs.request.body.user': '{"name":"Ann"}' });
    await sendHalf('/file', MULTIPART, multipart({ 'user[name]': 'Ann' }, 'x').slice(0, -20));
    expect(await captured(2)).toMatchObject({ 'http.request.header.x-tenant': ['acme'] });
  });
});

describe('a body that a parser made', () => {
  it('of dates, maps, streams and lists with getters is shown without running code', async () => {
    const ran = () => {
      throw new Error('ran');
    };
    const circle: unknown[] = [];
    circle.push(circle);
    const recorded = await capturedOf({
      date: Object.assign(new Date(0), { toJSON: ran, toISOString: ran }),
      noDate: new Date(NaN),
      map: new Map([['password', SECRET]]),
      set: new Set([SECRET]),
      stream: Object.assign(Readable.from([]), { authorization: SECRET, note: SECRET }),
      list: Object.defineProperty([1, 2], 1, { get: ran }),
      iterable: Object.assign([1], { [Symbol.iterator]: ran }),
      proxy: new Proxy({}, { ownKeys: ran, get: ran }),
      big: 10n ** 30n,
      bytes: new Uint8Array(4),
      function: ran,
      symbol: Symbol(SECRET),
      circle,
      sparse: new Array(4_000_000_000),
    });
    expect(recorded).toMatchObject({
      'nestjs.request.body.date': '1970-01-01T00:00:00.000Z',
      'nestjs.request.body.map': '…',
      'nestjs.request.body.set': '…',
      'nestjs.request.body.stream': '…',
      'nestjs.request.body.list': '[1,null]',
      'nestjs.request.body.iterable': '[1]',
      'nestjs.request.body.proxy': '…',
      'nestjs.request.body.big': '1000000000000000000000000000000',
      'nestjs.request.body.bytes': '4 bytes',
      'nestjs.request.body.circle': '[[[["…"]]]]',
    });
    expect(JSON.stringify(recorded)).not.toContain(SECRET);
  });

  it('is cut, and no part of a secret is left where it is', async () => {
    const token = `eyJhbGciOiJIUzI1NiJ9.${'x'.repeat(1200)}`;
    const card = '4111 1111 1111 1111';
    const bodies = Array.from({ length: 24 }, (_, index) => [`n${index}`, `${token.slice(0, 1260 - index)} ${card}`]);
    const recorded = await capturedOf({
      ...Object.fromEntries(bodies),
      emoji: `${'x'.repeat(255)}😀`,
      deep: [[[Array.from({ length: 20 }, () => true)]]],
    });
    expect(JSON.stringify(recorded)).not.toMatch(/411/);
    expect(recorded['nestjs.request.body.n0']).toMatch(/^REDACTED/);
    expect(recorded['nestjs.request.body.emoji']).toBe(`${'x'.repeat(255)}…`);
  });

  it('takes no long time, whatever a client writes into it', async () => {
    const bad = ['-eyJ', '-eyJaaaaa', '//a:', 'pin:"\\', 'cookie   ', '-----BEGIN PRIVATE KEY', '\\"password\\":', '1 '];
    const texts = bad.map((part, index) => [`t${index}`, part.repeat(70_000)]);
    let nested: unknown = true;
    for (let depth = 0; depth < 5; depth++) nested = Array.from({ length: 20 }, () => nested);
    const parsed = { ...Object.fromEntries(texts), nested };
    const before = process.cpuUsage();
    await capturedOf(parsed, { maxLength: 65_536, maxTotalLength: 1_000_000 });
    const { user } = process.cpuUsage(before);
    expect(user / 1000).toBeLessThan(5000);
  }, 60_000);
});

describe('a secret in a body', () => {
  it.each([
    ['JSON in a text', { note: JSON.stringify({ password: SECRET, a: 1 }) }, '{"password":"REDACTED","a":1}'],
    ['JSON in JSON', { note: JSON.stringify({ x: JSON.stringify({ apiKey: `${SECRET}"${SECRET}` }) }) }, /apiKey\\":\\"REDACTED\\"/],
    ['a form in a text', { note: `user=Ann&user[pin]=1234&passwd=${SECRET}&a=1` }, 'user=Ann&user[pin]=REDACTED&passwd=REDACTED&a=1'],
    ['headers in a text', { note: `Cookie: a=1; b=${SECRET}\nAuthorization: Digest x="${SECRET}"` }, /^Cookie: REDACTED\nAuthorization: REDACTED/],
    ['a URL', { note: `postgres://admin:${SECRET}@db:5432/app` }, 'postgres://REDACTED@db:5432/app'],
    ['a text with a quote in it', { note: `password="a\\"${SECRET}" x` }, 'password="REDACTED" x'],
    ['an object in a text', { note: `{"credentials":{"user":{"n":1}},"x":"${SECRET}"}` }, '{"credentials":REDACTED'],
    ['a pair of name and value', { note: [{ name: 'Password', value: SECRET }, { key: 'a', value: 1 }] }, '[{"name":"Password","value":"REDACTED"},{"key":"a","value":1}]'],
    ['a key', { note: { [`token=${SECRET}`]: 1, [`Bearer ${SECRET}`]: 1 } }, /^((?!hunter2).)*$/],
    ['an encrypted token', { note: `eyJhbGciOiJSU0Et.a.b.${SECRET}.c` }, 'REDACTED'],
    ['keys in other cases', { note: { PASSWORD: SECRET, Api_Key: SECRET, userPass: SECRET, 'x-auth': SECRET, OTP: SECRET, sessionId: SECRET } }, /^((?!hunter2).)*$/],
  ])('is not recorded if it is in %s', async (_where, parsed, expected) => {
    const recorded = await capturedOf(parsed);
    expect(JSON.stringify(recorded)).not.toContain(SECRET);
    expect(recorded['nestjs.request.body.note']).toEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
  }); // prettier-ignore
});

@InputType()
class Login {
  @Field() name!: string;
  @Field() password!: string;
}

@Resolver()
class LoginResolver {
  @Query(() => String) hello(@Args('pin', { nullable: true }) _pin?: string): string {
    throw new Error('broken');
  }

  @Mutation(() => String) login(@Args('input') _input: Login): string {
    throw new Error('broken');
  }
}

describe.each(servers)('a GraphQL request over %s', server => {
  it('is recorded without secrets, neither those of its variables nor those in its text', async () => {
    const captureOnFailure = { query: ['query', 'variables'], body: ['query', 'variables', 'variables.input.name', '0.query'] };
    const options = server.startsWith('Apollo') ? { csrfPrevention: false } : {};
    const application = await GraphqlApplication.start(server, {
      providers: [LoginResolver],
      options,
      tracing: { inbound: { captureOnFailure, redactQueryKeys: ['query', 'variables'] } },
    });
    try {
      const variables = { input: { name: 'Ann', password: SECRET } };
      await application.send('mutation Login($input: Login!) { login(input: $input) }', { variables });
      await application.send(`mutation { login(input: { name: "Ann", password: "${SECRET}" }) }`);
      const query = new URLSearchParams({ query: 'query Q($pin: String) { hello(pin: $pin) }', variables: `{"pin":"${SECRET}"}` });
      await fetch(`http://127.0.0.1:${application.port}/graphql?${query}`, { headers: { connection: 'close' } });
      const spans = await application.recorder.waitForSpans(3);
      expect(JSON.stringify(spans.map(({ attributes, events, status }) => [attributes, events, status]))).not.toContain(SECRET);
      expect(spans.map(({ attributes }) => recordedIn(attributes))).toEqual([
        {
          'nestjs.request.body.query': 'mutation Login($input: Login!) { login(input: $input) }',
          'nestjs.request.body.variables': '{"input":{"name":"Ann","password":"REDACTED"}}',
          'nestjs.request.body.variables.input.name': 'Ann',
        },
        { 'nestjs.request.body.query': 'mutation { login(input: { name: "Ann", password: "REDACTED" }) }' },
        {
          'nestjs.request.query.query': 'query Q($pin: String) { hello(pin: REDACTED) }',
          'nestjs.request.query.variables': '{"pin":"REDACTED"}',
        },
      ]);
    } finally {
      await application.close();
    }
  });
});
