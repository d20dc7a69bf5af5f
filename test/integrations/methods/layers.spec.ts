import { EventEmitter, once } from 'node:events';
import { get } from 'node:http';
import { createRequire } from 'node:module';
import { configure as serverlessExpress } from '@codegenie/serverless-express';
import { Controller, Get, HttpCode, Injectable, Module, Param, Post, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-node';
import type { FastifyInstance } from 'fastify';
import { type MethodsOptions, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

interface Response {
  status(code: number): Response;
  send(body: string): void;
}
type Root = TraceRecorder['roots'][number];
type Handler = (...args: never[]) => unknown;
interface Router {
  use(...handlers: unknown[]): void;
  get(path: string, ...handlers: Handler[]): void;
}
interface Express extends Router {
  readonly router: { readonly stack: readonly { readonly name: string; readonly handle: Function }[] };
}
// Express has no types of its own.
const express = createRequire(import.meta.url)('express') as (() => Express) & { Router(): Router };

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

@Injectable()
class Sessions {
  async read(id: string) {
    await turn();
    return id;
  }
}

@Controller()
class AppController {
  @Get('users/:id')
  one(@Param('id') id: string) {
    return { id };
  }

  @Get('circular')
  circular() {
    const circle: Record<string, unknown> = {};
    return Object.assign(circle, { circle });
  }

  @Post('users')
  @HttpCode(200)
  add() {
    return { added: true };
  }
}

function appModule(recorder: TraceRecorder, methods: MethodsOptions | boolean, options: TracingOptions): Type {
  @Module({
    imports: [TracingModule.forRoot({ exporter: recorder, methods, outbound: { fetch: false, http: false }, ...options })],
    controllers: [AppController],
    providers: [Sessions],
  })
  class AppModule {}
  return AppModule;
}

const OPTIONS = { logger: false, abortOnError: false } as const;
const ALL: MethodsOptions = { countBelowMs: 0 };

async function onExpress(
  prepare: (app: NestExpressApplication, instance: Express) => void,
  methods: MethodsOptions | boolean = ALL,
  options: TracingOptions = {},
  instance = express(),
) {
  const recorder = new TraceRecorder();
  const app = await NestFactory.create<NestExpressApplication>(
    appModule(recorder, methods, options),
    new ExpressAdapter(instance),
    OPTIONS,
  );
  prepare(app, instance);
  await app.listen(0, '127.0.0.1');
  return { app, recorder, url: await app.getUrl(), instance };
}

async function onFastify(
  prepare: (app: NestFastifyApplication, instance: FastifyInstance) => unknown,
  methods: MethodsOptions | boolean = ALL,
  options: TracingOptions = {},
  adapter = new FastifyAdapter(),
) {
  const recorder = new TraceRecorder();
  const app = await NestFactory.create<NestFastifyApplication>(appModule(recorder, methods, options), adapter, OPTIONS);
  await prepare(app, app.getHttpAdapter().getInstance());
  await app.listen(0, '127.0.0.1');
  return { app, recorder, url: await app.getUrl() };
}

/** Names of spans with those of their parents, without replies. */
function hops(recorder: TraceRecorder, spans = recorder.spans): string[] {
  return spans
    .filter(({ name }) => !name.endsWith('.reply'))
    .map(span => `${recorder.parentOf(span)?.name ?? '-'} > ${span.name}`)
    .sort();
}

const BUSY_MS = 30;
const milliseconds = ([seconds, nanoseconds] = [0, 0]): number => seconds * 1000 + nanoseconds / 1e6;

/** Those of one trace. */
function below(recorder: TraceRecorder, root: Root): string[] {
  const { traceId } = root.spanContext();
  return hops(
    recorder,
    recorder.spans.filter(span => span.spanContext().traceId === traceId),
  );
}

const post = (url: string, body: object) =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

type Next = (error?: unknown) => void;

describe('methods.steps of Express layers', () => {
  it('makes a span of each layer below the server span, in the order of the layers, also of those of Nest and of packages', async () => {
    const calls: string[] = [];
    const { app, recorder, url } = await onExpress(nest => {
      nest.enableCors();
      nest.use(function first(_request: unknown, _response: unknown, next: Next) {
        calls.push('first');
        next();
      });
      nest.use('/users', function second(_request: unknown, _response: unknown, next: Next) {
        calls.push('second');
        setImmediate(next);
      });
      nest.use((_request: unknown, _response: unknown, next: Next) => {
        calls.push('anonymous');
        next();
      });
    });
    const answer = await post(`${url}/users`, { name: 'Ada' });
    expect(await answer.json()).toEqual({ added: true });
    await app.close();
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect(calls).toEqual(['first', 'second', 'anonymous']);
    expect(hops(recorder)).toEqual([
      '- > POST /users',
      'POST /users > corsMiddleware',
      'POST /users > first',
      'POST /users > jsonParser',
      'POST /users > middleware',
      'POST /users > second',
      'POST /users > urlencodedParser',
    ]);
    expect(recorder.find('first')?.attributes).toMatchObject({ 'nestjs.step': 'middleware', 'code.function.name': 'first' });
  });

  it('counts short layers, makes nothing of any layer if steps are off, and leaves out what a rule forbids', async () => {
    const layers = (nest: NestExpressApplication): void => {
      nest.use(function short(_request: unknown, _response: unknown, next: Next) {
        next();
      });
    };
    const counting = await onExpress(layers, { countBelowMs: 10_000 });
    await fetch(`${counting.url}/users/7`);
    await counting.app.close();
    expect(hops(counting.recorder)).toEqual(['- > GET /users/:id']);
    expect(counting.recorder.roots[0]?.attributes).toMatchObject({ 'nestjs.calls.short.count': 1, 'nestjs.calls.jsonParser.count': 1 });
    for (const methods of [{ ...ALL, steps: false }, false, { ...ALL, not: [/^\.(short|.*Parser)$/] }]) {
      const off = await onExpress(layers, methods);
      await fetch(`${off.url}/users/7`);
      await off.app.close();
      expect(hops(off.recorder)).toEqual(['- > GET /users/:id']);
    }
  });

  it('hangs what a layer does below its span, and what comes after `next()` not', async () => {
    const { app, recorder, url } = await onExpress(nest => {
      const sessions = nest.get(Sessions);
      nest.use(async function session(request: { readonly path: string }, _response: unknown, next: Next) {
        await sessions.read(request.path);
        next();
      });
    });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => fetch(`${url}/users/${index}`)));
    for (const answer of answers) await answer.arrayBuffer();
    await app.close();
    expect(answers.every(({ ok }) => ok)).toBe(true);
    const roots = recorder.roots.map(root => below(recorder, root));
    expect(roots).toHaveLength(100);
    expect(new Set(roots.map(names => names.join()))).toEqual(
      new Set([
        [
          '- > GET /users/:id',
          'GET /users/:id > jsonParser',
          'GET /users/:id > session',
          'GET /users/:id > urlencodedParser',
          'session > Sessions.read',
        ].join(),
      ]),
    );
  });

  it('ends the span of a layer that answers by itself with the response', async () => {
    const { app, recorder, url } = await onExpress(nest => {
      nest.use('/files', function answering(_request: unknown, response: Response) {
        setImmediate(() => response.send('file'));
      });
    });
    expect(await (await fetch(`${url}/files/1`)).text()).toBe('file');
    await app.close();
    expect(hops(recorder)).toContain('GET > answering');
    expect(recorder.find('answering')?.status.code).toBe(0);
  });

  it('ends the span of a layer that does nothing when the client leaves', async () => {
    const reached = new EventEmitter();
    const { app, recorder, url } = await onExpress(nest => {
      nest.use('/hangs', function hanging() {
        reached.emit('request');
      });
    });
    const arrival = once(reached, 'request');
    const request = get(`${url}/hangs`).on('error', () => undefined);
    await arrival;
    request.destroy();
    await recorder.waitForSpans(2);
    await app.close();
    expect(recorder.find('hanging')).toBeDefined();
  });

  it('ends the span of a layer that answers by itself where there is no connection', async () => {
    const { app, recorder, instance } = await onExpress(nest => {
      nest.use(function answering(_request: unknown, response: Response) {
        setImmediate(() => response.send('answered'));
      });
    });
    const adapter = serverlessExpress({ app: instance as never }) as unknown as (event: object, context: object) => Promise<object>;
    const http = { method: 'GET', path: '/users/7', sourceIp: '192.0.2.7' };
    const event = { version: '2.0', rawPath: http.path, rawQueryString: '', headers: {}, requestContext: { http } };
    expect(await adapter(event, {})).toMatchObject({ body: 'answered' });
    await app.close();
    expect(recorder.find('answering')).toBeDefined();
  });

  it('leaves no listeners on the response when it is over', async () => {
    const counts: number[] = [];
    const { app, url } = await onExpress(nest => {
      const counting = (response: EventEmitter): void =>
        void counts.push(response.listenerCount('close') + response.listenerCount('finish'));
      for (let index = 0; index < 12; index++) {
        nest.use(function later(_request: unknown, response: EventEmitter, next: Next) {
          counting(response);
          setImmediate(next);
        });
      }
    });
    await fetch(`${url}/users/7`);
    await app.close();
    expect(counts).toEqual(Array.from({ length: 12 }, () => counts[0]));
  });

  it('belongs to its own request if a layer before it goes on from another one', async () => {
    const waiting: Next[] = [];
    const { app, recorder, url } = await onExpress(
      nest => {
        nest.use(function queueing(_request: unknown, _response: unknown, next: Next) {
          waiting.push(next);
          // The last request lets all go on.
          if (waiting.length === 10) for (const goOn of waiting.splice(0).reverse()) goOn();
        });
        nest.use(function after(_request: unknown, _response: unknown, next: Next) {
          next();
        });
      },
      { ...ALL, not: /queueing/ },
    );
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => fetch(`${url}/users/${index}`)));
    for (const answer of answers) await answer.arrayBuffer();
    await app.close();
    expect(recorder.roots.map(root => below(recorder, root).length)).toEqual(Array.from({ length: 10 }, () => 4));
  });

  it('fails the span of a layer that fails, in each way, and calls error handlers with the same error', async () => {
    const seen: unknown[] = [];
    const error = new TypeError('no session');
    const ways: Record<string, (next: Next) => unknown> = {
      throws: () => {
        throw error;
      },
      rejects: async () => {
        await turn();
        throw error;
      },
      'passes-on': next => next(error),
      'passes-on-later': next => setImmediate(next, error),
    };
    const { app, recorder, url } = await onExpress(nest => {
      for (const [way, fail] of Object.entries(ways)) {
        nest.use(`/${way}`, { [way]: (_request: unknown, _response: unknown, next: Next) => fail(next) }[way]!);
      }
      nest.use(function passing(thrown: unknown, _request: unknown, _response: unknown, next: Next) {
        next(thrown);
      });
      nest.use(function answering(thrown: unknown, _request: unknown, response: Response, _next: Next) {
        seen.push(thrown);
        response.status(418).send('no');
      });
    });
    for (const way of Object.keys(ways)) {
      seen.length = 0;
      recorder.clear();
      expect((await fetch(`${url}/${way}`)).status).toBe(418);
      await recorder.waitForTrace();
      expect(seen).toEqual([error]);
      expect(recorder.find(way)?.status.code).toBe(2);
      expect(recorder.find(way)?.attributes['error.type']).toBe('TypeError');
      // An error that is passed on is not that of the handler.
      expect([recorder.find('passing')?.status.code, recorder.find('answering')?.status.code]).toEqual([0, 0]);
    }
    await app.close();
  });

  it('skips layers by `next("route")` as before, without a failure', async () => {
    const { app, recorder, url } = await onExpress((_nest, instance) => {
      instance.get(
        '/choice',
        function skipping(_request: unknown, _response: unknown, next: Next) {
          next('route');
        },
        function skipped(_request: unknown, response: Response) {
          response.send('skipped');
        },
      );
      instance.get('/choice', function chosen(_request: unknown, response: Response) {
        response.send('chosen');
      });
    });
    expect(await (await fetch(`${url}/choice`)).text()).toBe('chosen');
    await app.close();
    expect(hops(recorder)).toEqual(['- > GET /choice', 'GET /choice > chosen', 'GET /choice > skipping']);
    expect(recorder.find('skipping')?.status.code).toBe(0);
  });

  it('finds layers of routers that get them later, and those of an Express application that Nest gets; puts these back', async () => {
    const early = function early(_request: unknown, _response: unknown, next: Next): void {
      next();
    };
    const given = express();
    given.use(early);
    const router = express.Router();
    const { app, recorder, url } = await onExpress(nest => nest.use('/admin', router), ALL, {}, given);
    await app.close();
    expect(recorder.spans).toEqual([]);
    const again = express();
    again.use(early);
    const second = await onExpress(
      nest => {
        nest.use('/admin', router);
        router.get('/list', function list(_request: unknown, response: Response) {
          response.send('list');
        });
      },
      ALL,
      {},
      again,
    );
    const handles = () => again.router.stack.map(({ handle }) => handle);
    expect(handles()).not.toContain(early);
    expect(await (await fetch(`${second.url}/admin/list`)).text()).toBe('list');
    await second.app.close();
    expect(hops(second.recorder)).toEqual(['- > GET /admin/list', 'GET /admin/list > early', 'GET /admin/list > list']);
    expect(handles()).toContain(early);
    expect(url).not.toBe(second.url);
  });

  it('keeps `this`, arguments, the number of parameters and the result of a layer, and makes nothing outside of a span that records', async () => {
    const seen: unknown[] = [];
    const asked: unknown[] = [];
    const { app, recorder, url, instance } = await onExpress(
      nest => {
        nest.use(function looking(this: unknown, ...args: unknown[]) {
          seen.push(this === undefined, args.length);
          asked.push(trace.getSpan(context.active())?.isRecording());
          (args[2] as Next)();
        });
        nest.use(function four(_error: unknown, _request: unknown, _response: unknown, next: Next) {
          next();
        });
      },
      ALL,
      { sampler: new AlwaysOffSampler() },
    );
    const { stack } = instance.router;
    expect(stack.filter(({ name }) => name === 'looking' || name === 'four').map(({ handle }) => handle.length)).toEqual([0, 4]);
    await fetch(`${url}/users/7`);
    await app.close();
    expect(seen).toEqual([true, 3]);
    expect(asked).toEqual([false]);
    expect(recorder.spans).toEqual([]);
  });
});

/** A plugin as `fastify-plugin` makes one: its hooks are those of the whole application. */
function plugin(name: string, register: (instance: FastifyInstance) => void): (instance: FastifyInstance) => Promise<void> {
  const registering = async (instance: FastifyInstance): Promise<void> => {
    await turn();
    register(instance);
  };
  return Object.assign(registering, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: name });
}

describe('methods.steps of Fastify hooks', () => {
  it('makes a span of each hook by its name, that of its kind or that of its plugin, and of middleware', async () => {
    const payloads: unknown[] = [];
    const { app, recorder, url } = await onFastify(async (nest, instance) => {
      const sessions = nest.get(Sessions);
      instance.addHook('onRequest', function authenticate(_request, _reply, done) {
        setImmediate(done);
      });
      instance.addHook('preParsing', function parsing(_request, _reply, payload, done) {
        done(null, payload);
      });
      instance.addHook('preHandler', async function loading() {
        await sessions.read('7');
      });
      instance.addHook('preHandler', (_request, _reply, done) => {
        done();
      });
      instance.addHook('onSend', async function changing(_request, _reply, payload) {
        payloads.push(payload);
        for (const end = performance.now() + BUSY_MS; performance.now() < end;);
        return Promise.resolve(JSON.stringify({ changed: payload }));
      });
      instance.addHook('onResponse', async function responding() {
        await turn();
      });
      nest.use(function middle(_request: unknown, _response: unknown, next: Next) {
        next();
      });
      await nest.register((await import('@fastify/cors')).default, { origin: true });
    });
    // The second request knows that some hooks return promises.
    for (const id of ['6', '7']) {
      recorder.clear();
      const answer = await fetch(`${url}/users/${id}`, { headers: { origin: 'http://example.test' } });
      expect(await answer.json()).toEqual({ changed: `{"id":"${id}"}` });
      expect(answer.headers.get('access-control-allow-origin')).toBe('http://example.test');
      await recorder.waitForTrace();
      await recorder.waitForSpans(10);
    }
    await app.close();
    expect(payloads).toEqual(['{"id":"6"}', '{"id":"7"}']);
    expect(hops(recorder)).toEqual([
      '- > GET /users/:id',
      'FastifyAdapter.reply > changing',
      'GET /users/:id > authenticate',
      'GET /users/:id > handleCors',
      'GET /users/:id > loading',
      'GET /users/:id > middle',
      'GET /users/:id > parsing',
      'GET /users/:id > preHandler',
      'GET /users/:id > responding',
      'loading > Sessions.read',
    ]);
    const [loading, server] = [recorder.find('loading'), recorder.roots[0]].map(span => milliseconds(span?.endTime));
    expect(server! - loading!).toBeGreaterThan(BUSY_MS - 2);
    expect(recorder.find('loading')?.attributes).toMatchObject({ 'nestjs.step': 'hook', 'code.function.name': 'loading' });
  });

  it('makes no span of a hook that only runs middleware', async () => {
    const prepare = async (nest: NestFastifyApplication): Promise<void> => {
      await nest.register((await import('@fastify/middie')).default as never);
      nest.use(function middle(_request: unknown, _response: unknown, next: Next) {
        next();
      });
    };
    const { app, recorder, url } = await onFastify(prepare, ALL, {}, new FastifyAdapter({ skipMiddie: true }));
    await fetch(`${url}/users/7`);
    await app.close();
    expect(hops(recorder)).toEqual(['- > GET /users/:id', 'GET /users/:id > middle']);
  });

  it('names a hook without a name by the plugin of a package', async () => {
    // A function without a name, of a file in node_modules.
    const { script } = await import('node:vm').then(({ Script }) => ({
      script: new Script('(() => (request, reply, done) => done())()', { filename: '/app/node_modules/some-plugin/index.js' }),
    }));
    const hook = script.runInThisContext() as (request: unknown, reply: unknown, done: () => void) => void;
    const { app, recorder, url } = await onFastify(async (_nest, instance) => {
      await instance.register(
        plugin('@fastify/some-plugin', inner => {
          inner.addHook('preHandler', hook);
        }),
      );
      instance.addHook('onRequest', (_request, _reply, done) => {
        done();
      });
    });
    await fetch(`${url}/users/7`);
    await app.close();
    expect(hops(recorder)).toEqual([
      '- > GET /users/:id',
      'GET /users/:id > @fastify/some-plugin.preHandler',
      'GET /users/:id > onRequest',
    ]);
  });

  it('ends the span of a hook that answers by itself, and fails that of a hook that fails', async () => {
    const error = new TypeError('no session');
    const ways: Record<string, (done: Next) => unknown> = {
      throws: () => {
        throw error;
      },
      'passes-on': done => setImmediate(done, error),
    };
    const { app, recorder, url } = await onFastify((_nest, instance) => {
      instance.addHook('onRequest', function answering(request, reply, done) {
        if (request.url === '/answered') setImmediate(() => void reply.send('answered'));
        else done();
      });
      instance.addHook('onRequest', async function answeringAsync(request, reply) {
        if (request.url !== '/answered-async') return;
        await turn();
        return reply.send('answered');
      });
      instance.addHook('onRequest', function failing(request, _reply, done) {
        const fail = ways[request.url.slice(1)];
        if (fail === undefined) done();
        else fail(done as Next);
      });
      instance.addHook('onRequest', async function rejecting(request) {
        await turn();
        if (request.url === '/rejects') throw error;
      });
      instance.addHook('onError', async function noticing() {});
    });
    for (const [path, name] of [
      ['answered', 'answering'],
      ['answered-async', 'answeringAsync'],
    ] as const) {
      recorder.clear();
      expect(await (await fetch(`${url}/${path}`)).text()).toBe('answered');
      await recorder.waitForTrace();
      expect(hops(recorder)).toContain(`GET > ${name}`);
      expect(recorder.find(name)?.status.code).toBe(0);
    }
    for (const [path, name] of [
      ['throws', 'failing'],
      ['passes-on', 'failing'],
      ['rejects', 'rejecting'],
    ] as const) {
      recorder.clear();
      const answer = await fetch(`${url}/${path}`);
      expect([path, answer.status, await answer.json()]).toEqual([
        path,
        500,
        expect.objectContaining({ message: expect.any(String) as string }),
      ]);
      await recorder.waitForTrace();
      expect([path, recorder.find(name)?.status.code, recorder.find(name)?.attributes['error.type']]).toEqual([path, 2, 'TypeError']);
    }
    await app.close();
  });

  it('ends the spans of hooks of injected requests', async () => {
    const { app, recorder } = await onFastify((_nest, instance) => {
      instance.addHook('onRequest', function answering(_request, reply) {
        setImmediate(() => void reply.send('answered'));
      });
    });
    expect((await app.inject('/users/7')).payload).toBe('answered');
    await app.close();
    expect(recorder.find('answering')).toBeDefined();
  });

  it('traces hooks of single routes and of plugins in their own part, and keeps `this` and the number of parameters', async () => {
    const seen: unknown[] = [];
    const { app, recorder, url } = await onFastify((_nest, instance) => {
      void instance.register(async function part(inner: FastifyInstance) {
        inner.addHook('onRequest', function ofPart(this: FastifyInstance, _request, _reply, done) {
          seen.push(this === inner);
          done();
        });
        inner.get('/own', { preHandler: [async function ofRoute() {}] }, async () => Promise.resolve('own'));
      });
    });
    expect(await (await fetch(`${url}/own`)).text()).toBe('own');
    await (await fetch(`${url}/users/7`)).text();
    await app.close();
    expect(seen).toEqual([true]);
    expect(hops(recorder)).toEqual(['- > GET /own', '- > GET /users/:id', 'GET /own > ofPart', 'GET /own > ofRoute']);
  });

  it('refuses an async hook with a callback as before, and makes nothing if steps are off or outside of a span that records', async () => {
    const hooks = (_nest: unknown, instance: FastifyInstance): void => {
      instance.addHook('onRequest', function authenticate(_request, _reply, done) {
        done();
      });
    };
    await onFastify((_nest, instance) => {
      const both = async (_request: unknown, _reply: unknown, _done: unknown) => Promise.resolve();
      expect(() => instance.addHook('onRequest', both as () => Promise<void>)).toThrow(/Async function/);
    }).then(({ app }) => app.close());
    for (const [methods, options] of [
      [{ ...ALL, steps: false }, {}],
      [ALL, { sampler: new AlwaysOffSampler() }],
    ] as const) {
      const { app, recorder, url } = await onFastify(hooks, methods, options);
      expect((await fetch(`${url}/users/7`)).status).toBe(200);
      await app.close();
      expect(recorder.spans.map(({ name }) => name).filter(name => name !== 'GET /users/:id')).toEqual([]);
    }
  });
});

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('methods.steps of replies on %s', (name, newAdapter) => {
  const start = async (methods: MethodsOptions) => {
    const recorder = new TraceRecorder();
    const adapter = newAdapter();
    const { reply } = adapter;
    const app = await NestFactory.create(appModule(recorder, methods, {}), adapter, OPTIONS);
    await app.listen(0, '127.0.0.1');
    return { app, recorder, url: await app.getUrl(), isPutBack: () => adapter.reply === reply && !Object.hasOwn(adapter, 'reply') };
  };

  it('makes a span of what turns the result into an answer, and puts the adapter back', async () => {
    const { app, recorder, url, isPutBack } = await start(ALL);
    expect(await (await fetch(`${url}/users/7`)).json()).toEqual({ id: '7' });
    expect((await fetch(`${url}/none`)).status).toBe(404);
    await app.close();
    const replies = recorder.spans.filter(span => span.name === `${name}Adapter.reply`);
    expect(replies.map(span => recorder.parentOf(span)?.name).sort()).toEqual(['GET', 'GET /users/:id']);
    expect(replies[0]?.attributes).toMatchObject({ 'nestjs.step': 'reply', 'code.function.name': `${name}Adapter.reply` });
    expect(isPutBack()).toBe(true);
  });

  it('counts short replies, and makes nothing if steps are off', async () => {
    const { app, recorder, url } = await start({ countBelowMs: 10_000 });
    await (await fetch(`${url}/users/7`)).json();
    await app.close();
    expect(recorder.spans.map(span => span.name)).toEqual(['GET /users/:id']);
    expect(recorder.roots[0]?.attributes).toMatchObject({ [`nestjs.calls.${name}Adapter.reply.count`]: 1 });
    const off = await start({ ...ALL, steps: false });
    await (await fetch(`${off.url}/users/7`)).json();
    await off.app.close();
    expect(off.recorder.spans.map(span => span.name)).toEqual(['GET /users/:id']);
  });

  it('fails the span of a reply that fails', async () => {
    const { app, recorder, url } = await start(ALL);
    expect((await fetch(`${url}/circular`)).status).toBe(500);
    await app.close();
    const failed = recorder.spans.filter(span => span.name === `${name}Adapter.reply` && span.status.code === SpanStatusCode.ERROR);
    // Fastify handles such an error by itself.
    expect(failed.map(span => span.attributes['error.type'])).toEqual(name === 'Express' ? ['TypeError'] : []);
  });
});
