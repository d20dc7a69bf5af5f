import { createKeyv } from '@keyv/redis';
import { CACHE_MANAGER, type Cache, CacheInterceptor, CacheModule } from '@nestjs/cache-manager';
import { Controller, Get, Module, UseInterceptors } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createCache } from 'cache-manager-6';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, redis as server, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

@Controller()
class ClockController {
  @Get('clock')
  @UseInterceptors(CacheInterceptor)
  read(): string {
    return 'noon';
  }
}

describeWith(server, 'cache-manager')('a call of CACHE_MANAGER', () => {
  let port: number;
  let cache: Cache;
  let application: DatabaseApplication;

  beforeAll(async () => {
    ({ port } = await serverOf(server));
  });
  beforeEach(async () => {
    const stores = [createKeyv(`redis://127.0.0.1:${port}`)];
    application = await DatabaseApplication.start({}, { imports: [CacheModule.register({ stores })] });
    cache = application.context.get(CACHE_MANAGER);
    await cache.clear();
  });
  afterEach(() => application.close());

  it('is a span that tells hits from misses, with the commands of its store below it', async () => {
    const spans = await application.during(async () => {
      await cache.get(SECRET);
      await cache.set(SECRET, SECRET, 60_000);
      expect(await cache.get(SECRET)).toBe(SECRET);
      await cache.del(SECRET);
    });
    expect(application.recorder.tree()).toBe(
      [
        'request',
        '  cache.get',
        '    GET (client)',
        '  cache.set',
        '    SET (client)',
        '  cache.get',
        '    GET (client)',
        '  cache.del',
        '    UNLINK (client)',
      ].join('\n'),
    );
    const calls = spans.filter(({ kind }) => kind === SpanKind.INTERNAL);
    expect(calls.map(({ attributes }) => attributes)).toEqual([{ 'cache.hit': false }, {}, { 'cache.hit': true }, {}]);
    expect(application.exported).not.toContain(SECRET);
  });

  it('computes a value in the span of wrap, which is a miss then', async () => {
    const compute = async () => 'computed';
    const spans = await application.during(async () => {
      expect(await cache.wrap('key', compute, 60_000)).toBe('computed');
      expect(await cache.wrap('key', compute, 60_000)).toBe('computed');
      await Promise.all([cache.wrap('other', compute), cache.wrap('other', compute)]);
    });
    const wraps = spans.filter(({ name }) => name === 'cache.wrap');
    expect(wraps.map(({ attributes }) => attributes['cache.hit'])).toEqual([false, true, false, false]);
    expect(application.parentOf(spans.find(({ name }) => name === 'SET'))?.name).toBe('cache.wrap');
  });

  it('of many keys is a hit if all are found', async () => {
    const spans = await application.during(async () => {
      await cache.mset([
        { key: 'a', value: 1 },
        { key: 'b', value: 2 },
      ]);
      await cache.mget(['a', 'b']);
      await cache.mget(['a', 'c']);
      await cache.mdel(['a', 'b']);
      await cache.clear();
    });
    const calls = spans.filter(({ kind }) => kind === SpanKind.INTERNAL);
    expect(namesOf(calls)).toEqual(['cache.mset', 'cache.mget', 'cache.mget', 'cache.mdel', 'cache.clear']);
    expect(calls.map(({ attributes }) => attributes['cache.hit'])).toEqual([undefined, true, false, undefined, undefined]);
  });

  it('belongs to its request', async () => {
    const requests = await application.concurrently(100, async index => {
      await cache.set(`key ${index}`, index);
      expect(await cache.get(`key ${index}`)).toBe(index);
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['cache.set', 'SET', 'cache.get', 'GET']);
  });

  it('fails with the error of what it computes', async () => {
    await application.during(() => cache.wrap('key', () => Promise.reject(new Error('no value'))).catch(() => undefined));
    expect(application.named('cache.wrap')[0]).toMatchObject({ status: { code: SpanStatusCode.ERROR, message: 'no value' } });
  });

  it('has no span outside of a request, where databases are off, or after the application is closed', async () => {
    application.recorder.clear();
    await cache.get('a');
    expect(application.recorder.spans).toEqual([]);
    const off = await DatabaseApplication.start({ cache }, { databases: false });
    expect(await off.during(() => cache.get('a'))).toEqual([]);
    await off.close();
    const { get } = cache;
    await application.close();
    expect(cache.get).not.toBe(get);
  });

  it('by the interceptor of Nest is traced, too', async () => {
    const recorder = new TraceRecorder();
    @Module({
      imports: [TracingModule.forRoot({ serviceName: 'clock', exporter: recorder }), CacheModule.register()],
      controllers: [ClockController],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    await app.listen(0, '127.0.0.1');
    const url = `${await app.getUrl()}/clock`;
    for (const request of ['miss', 'hit']) {
      recorder.clear();
      expect(await (await fetch(url)).text()).toBe('noon');
      const get = recorder.spans.find(({ name }) => name === 'cache.get');
      expect(get?.attributes['cache.hit']).toBe(request === 'hit');
      expect(recorder.parentOf(get!)?.name).toBe('GET /clock');
    }
    await app.close();
  });
});

describeWith(server, 'cache-manager 6')('a call of a cache of cache-manager 6', () => {
  it('is a span that tells hits from misses, in its request, with the commands of its store below it', async () => {
    const { port } = await serverOf(server);
    const store = createKeyv(`redis://127.0.0.1:${port}`);
    const cache = createCache({ stores: [store as never] });
    const application = await DatabaseApplication.start({ cache });
    const requests = await application.concurrently(100, async index => {
      await cache.set(`key ${index}`, SECRET);
      expect(await cache.get(`key ${index}`)).toBe(SECRET);
      expect(await cache.wrap(`other ${index}`, async () => index)).toBe(index);
      await cache.mget([`key ${index}`, `none ${index}`]);
      await cache.mdel([`key ${index}`, `other ${index}`]);
    });
    const { exported } = application;
    await application.close();
    await store.disconnect();
    for (const spans of requests) {
      const calls = spans.filter(({ kind }) => kind === SpanKind.INTERNAL);
      expect(calls.map(({ name, attributes }) => [name, attributes['cache.hit']])).toEqual([
        ['cache.set', undefined],
        ['cache.get', true],
        ['cache.wrap', false],
        ['cache.mget', false],
        ['cache.mdel', undefined],
      ]);
      expect(spans.length).toBeGreaterThan(8);
    }
    expect(exported).not.toContain(SECRET);
  });
});
