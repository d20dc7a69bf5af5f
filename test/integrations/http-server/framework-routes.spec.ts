import type http from 'node:http';
import { createRequire } from 'node:module';
import {
  Controller,
  Get,
  type INestApplication,
  Inject,
  Injectable,
  NotFoundException,
  Param,
  ParseIntPipe,
  Post,
  UseGuards,
  VersioningType,
  type VersioningOptions,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { adapters, startApplication, type TestApplication } from './http-application.js';

type Answering = (request: unknown, response: never, next?: Function) => void;
type Path = string | RegExp | string[];

/** Express has no types. These are its routers and applications. */
interface Router {
  (): void;
  use(path: Path, handler: Router | Answering): void;
  get(path: Path, handler: Answering): void;
  route(path: string): { get(handler: Answering): void };
}

const express = createRequire(import.meta.url)('express') as (() => Router) & { Router(options?: object): Router };

function text(body: string): Answering {
  return (_request, response: http.ServerResponse) => void response.end(body);
}

@Controller('cats')
class CatsController {
  @Get(':id') one(): string {
    return 'cat';
  }
  @Post() create(): string {
    return 'created';
  }
}

/** Sends `requests` one after the other. Returns the status and the span name of each. */
async function namesOf(test: TestApplication, requests: readonly (readonly [string, http.RequestOptions?, string?])[]) {
  const seen: [number, string][] = [];
  for (const [path, options, body] of requests) {
    test.recorder.clear();
    const { status } = await test.request(path, options, body);
    await test.recorder.waitForSpans(1);
    const [span] = test.recorder.spans;
    seen.push([status, span!.name]);
    expect(test.recorder.spans.map(({ attributes }) => attributes['http.route'])).toEqual([span!.name.split(' ')[1]]);
  }
  return seen;
}

function answering(app: INestApplication): (request: unknown, response: unknown) => void {
  return (_request, response) => void app.getHttpAdapter().reply(response, 'answered', 200);
}

describe.each(adapters)('the name of a server span on %s', adapter => {
  it('is the template of a route that was registered with the adapter', async () => {
    @Injectable()
    class Late {
      constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}
      onModuleInit(): void {
        this.host.httpAdapter.get('/late/:id', (_request: unknown, response: unknown) => {
          this.host.httpAdapter.reply(response, 'late', 200);
        });
      }
    }
    const test = await startApplication(adapter, {
      controllers: [CatsController],
      providers: [Late],
      configure: app => {
        app.setGlobalPrefix('api');
        const server = app.getHttpAdapter();
        server.get('/x/:id', answering(app));
        server.post('/x/:id', answering(app));
        server.all('/all/:id', answering(app));
      },
    });
    try {
      expect(
        await namesOf(test, [
          ['/x/7?q=1'],
          ['/x/7', { method: 'POST' }],
          ['/all/7', { method: 'PUT' }],
          ['/x/7', { method: 'HEAD' }],
          ['/api/cats/7'],
          ['/api/cats/7', { method: 'HEAD' }],
          ['/cats/7'],
          ['/api/cats/7', { method: 'DELETE' }],
          ['/late/7'],
        ]),
      ).toEqual([
        [200, 'GET /x/:id'],
        [200, 'POST /x/:id'],
        [200, 'PUT /all/:id'],
        [200, 'HEAD /x/:id'],
        [200, 'GET /api/cats/:id'],
        [200, 'HEAD /api/cats/:id'],
        [404, 'GET'],
        [404, 'DELETE'],
        [200, 'GET /late/:id'],
      ]);
    } finally {
      await test.close();
    }
  });

  it('is that of the route whose guard or pipe answers with 404', async () => {
    class Hides {
      canActivate(): boolean {
        throw new NotFoundException();
      }
    }
    @Controller({ path: 'things', version: '1' })
    class ThingsController {
      @Get('hidden/:id') @UseGuards(Hides) hidden(): string {
        return 'never';
      }
      @Get('piped/:id') piped(@Param('id', new ParseIntPipe({ exceptionFactory: () => new NotFoundException() })) id: number): number {
        return id;
      }
      @Get('thrown/:id') thrown(): string {
        throw new NotFoundException();
      }
    }
    const versionings: [VersioningOptions, string][] = [
      [{ type: VersioningType.HEADER, header: 'x-version' }, '1'],
      [{ type: VersioningType.MEDIA_TYPE, key: 'v=' }, 'application/json;v=1'],
      [{ type: VersioningType.CUSTOM, extractor: request => (request as http.IncomingMessage).headers['x-version'] as string }, '1'],
    ];
    for (const [versioning, value] of versionings) {
      const name = versioning.type === VersioningType.MEDIA_TYPE ? 'accept' : 'x-version';
      const test = await startApplication(adapter, { controllers: [ThingsController], versioning });
      try {
        const headers = { [name]: value };
        expect(
          await namesOf(test, [
            ['/things/hidden/7', { headers }],
            ['/things/piped/x', { headers }],
            ['/things/thrown/7', { headers }],
            ['/things/thrown/7', { headers: { [name]: value.replace('1', '2') } }],
            ['/things/unknown/7', { headers }],
          ]),
        ).toEqual([
          [404, 'GET /things/hidden/:id'],
          [404, 'GET /things/piped/:id'],
          [404, 'GET /things/thrown/:id'],
          [404, 'GET'],
          [404, 'GET'],
        ]);
      } finally {
        await test.close();
      }
    }
  });

  it('is that of the route on a host whose guard answers with 404', async () => {
    class Hides {
      canActivate(): boolean {
        throw new NotFoundException();
      }
    }
    @Controller({ path: 'hosted', host: [':tenant.example.com', 'example.org'] })
    class HostedController {
      @Get(':id') @UseGuards(Hides) hidden(): string {
        return 'never';
      }
    }
    const test = await startApplication(adapter, { controllers: [HostedController], nest: { logger: false } });
    try {
      expect((await namesOf(test, [['/hosted/7', { headers: { host: 'acme.example.com' } }]]))[0]).toEqual([404, 'GET /hosted/:id']);
      const [[, name]] = (await namesOf(test, [['/hosted/7', { headers: { host: 'elsewhere.net' } }]])) as [[number, string]];
      expect(name).toBe('GET');
    } finally {
      await test.close();
    }
  });

  it('is the method alone for preflights', async () => {
    const test = await startApplication(adapter, { controllers: [CatsController], configure: app => app.enableCors() });
    const headers = { origin: 'http://example.com', 'access-control-request-method': 'GET' };
    try {
      expect(await namesOf(test, [['/cats/7', { method: 'OPTIONS', headers }]])).toEqual([[204, 'OPTIONS']]);
    } finally {
      await test.close();
    }
  });
});

describe('the name of a server span on Express', () => {
  let test: TestApplication;
  beforeAll(async () => {
    const posts = express.Router({ mergeParams: true });
    posts.get('/', text('posts'));
    posts.get('/:id', text('post'));
    posts.get(['/a/:id', '/b'], text('array'));
    posts.get(/^\/files\/(.+)$/, text('pattern'));
    posts.route('/routed/:id').get(text('routed'));
    posts.get('/fails/:id', () => {
      throw new Error('failed');
    });
    const blog = express.Router();
    blog.use('/posts', posts);
    blog.get('/about', text('about'));
    blog.get('/next/:id', (_request, _response, next) => void next?.());
    const anywhere = express.Router();
    anywhere.use('/below', posts);
    const shop = express();
    shop.use('/items', posts);
    shop.get('/cart/:id', text('cart'));
    shop.get('/broken/:id', () => {
      throw new Error('broken');
    });
    test = await startApplication('express', {
      controllers: [CatsController],
      configure: app => {
        app.use('/blog', blog);
        app.use('/tenants/:tenant', posts);
        app.use(['/de', '/fr'], blog);
        app.use('/shop', shop);
        app.use(anywhere);
        const instance = app.getHttpAdapter().getInstance() as Router;
        instance.get(['/one/:id', '/other'], text('array'));
        instance.get(/^\/raw\/(\d+)$/, text('pattern'));
        instance.get('/optional{/:id}', text('optional'));
        instance.get('/splat/*rest', text('splat'));
        instance.use('/refused', (_request, response: http.ServerResponse) => void response.writeHead(401).end());
      },
    });
  });
  afterAll(() => test.close());

  it.each([
    ['/blog/about', 'GET /blog/about'],
    ['/BLOG/about', 'GET /blog/about'],
    ['/blog/posts', 'GET /blog/posts'],
    ['/blog/posts/7', 'GET /blog/posts/:id'],
    ['/blog/posts/a/7', 'GET /blog/posts/a/:id'],
    ['/blog/posts/b', 'GET /blog/posts/:id'],
    ['/blog/posts/routed/7', 'GET /blog/posts/routed/:id'],
    ['/tenants/acme/7', 'GET /tenants/:tenant/:id'],
    ['/fr/about', 'GET /fr/about'],
    ['/de/posts/7', 'GET /de/posts/:id'],
    ['/shop/cart/7', 'GET /shop/cart/:id'],
    ['/shop/items/7', 'GET /shop/items/:id'],
    ['/below/7', 'GET /below/:id'],
    ['/below/fails/7', 'GET /below/fails/:id'],
    ['/blog/posts/fails/7', 'GET /blog/posts/fails/:id'],
    ['/tenants/acme/fails/7', 'GET /tenants/:tenant/fails/:id'],
    ['/fr/posts/fails/7', 'GET /fr/posts/fails/:id'],
    ['/shop/items/fails/7', 'GET /shop/items/fails/:id'],
    ['/shop/broken/7', 'GET /shop/broken/:id'],
    ['/one/7', 'GET /one/:id'],
    ['/other', 'GET /other'],
    ['/optional/7', 'GET /optional{/:id}'],
    ['/splat/a/b', 'GET /splat/*rest'],
    ['/blog/posts/files/a/b', 'GET /blog/posts^\\/files\\/(.+)$'],
    ['/raw/7', 'GET ^\\/raw\\/(\\d+)$'],
    ['/cats/7', 'GET /cats/:id'],
    ['/blog/nothing', 'GET'],
    ['/blog/next/7', 'GET'],
    ['/refused/7', 'GET'],
  ])('of %s is %s', async (path, name) => {
    test.recorder.clear();
    await test.request(path);
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe(name);
  });
});

describe('the name of a server span that Fastify refuses after it has matched the route', () => {
  let test: TestApplication;
  beforeAll(async () => {
    test = await startApplication('fastify', {
      controllers: [CatsController],
      fastify: { bodyLimit: 100 },
      configure: app => {
        app.setGlobalPrefix('api');
        const instance = (app.getHttpAdapter() as unknown as FastifyAdapter).getInstance();
        instance.addHook('onRequest', async (request, reply) => {
          if (request.headers['x-limited'] !== undefined) await reply.code(429).send('slow down');
        });
        instance.addHook('preHandler', (request, reply, done) => {
          if (request.headers['x-stranger'] === undefined) done();
          else reply.code(401).send('who are you?');
        });
        void instance.register(
          (plugin, _options, done) => {
            plugin.get('/posts/:id', async () => 'post');
            done();
          },
          { prefix: '/blog' },
        );
      },
    });
  });
  afterAll(() => test.close());

  const json = { 'content-type': 'application/json' };
  it.each<[string, http.RequestOptions, string | undefined, number, string]>([
    ['/api/cats/7', { headers: { 'x-limited': '1' } }, undefined, 429, 'GET /api/cats/:id'],
    ['/api/cats/7', { headers: { 'x-stranger': '1' } }, undefined, 401, 'GET /api/cats/:id'],
    ['/api/cats', { method: 'POST', headers: json }, '{"a":', 400, 'POST /api/cats'],
    ['/api/cats', { method: 'POST', headers: json }, `"${'x'.repeat(200)}"`, 413, 'POST /api/cats'],
    ['/api/cats', { method: 'POST', headers: { 'content-type': 'text/strange' } }, 'x', 415, 'POST /api/cats'],
    ['/blog/posts/7', {}, undefined, 200, 'GET /blog/posts/:id'],
    ['/api/dogs/7', { headers: { 'x-limited': '1' } }, undefined, 429, 'GET'],
  ])('of %s with %j is that of the route', async (path, options, body, status, name) => {
    test.recorder.clear();
    expect((await test.request(path, options, body)).status).toBe(status);
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe(name);
  });
});
