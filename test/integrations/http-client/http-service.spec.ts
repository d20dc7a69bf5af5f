import { HttpModule, HttpService } from '@nestjs/axios';
import { Global, Inject, Injectable, Module, Scope, type Type } from '@nestjs/common';
import { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import axios from 'axios';
import { firstValueFrom, lastValueFrom, map, mergeMap, retry, timeout } from 'rxjs';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { httpServices } from '../../../lib/integrations/http-client/integration.js';
import { ProviderSearch } from '../../../lib/wrapping/provider-search.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

describe('HttpService', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  const undo: (() => unknown)[] = [];

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => (application = new OutboundApplication()));
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
    await application.finish();
  });

  const create = async (...imports: NonNullable<Parameters<typeof Module>[0]['imports']>) => {
    const app = await Test.createTestingModule({ imports }).compile();
    undo.push(() => app.close());
    const stop = new ProviderSearch(app.get(ModulesContainer), app.get(LazyModuleLoader)).trace([httpServices]);
    undo.push(stop);
    return Object.assign(app, { stop });
  };
  const get = (http: HttpService, path = '/ok') => firstValueFrom(http.get(downstream.url + path).pipe(map(({ data }) => data as unknown)));
  const serviceIn = (http: Parameters<typeof Module>[0]['imports']) => {
    @Injectable()
    class Service {
      constructor(@Inject(HttpService) readonly http: HttpService) {}
    }
    @Module({ imports: http, providers: [Service] })
    class Users {}
    return { module: Users, service: Service };
  };

  // This spec must be the first, because a plain HttpModule would provide axios itself.
  it('looks adapters up in the axios that made its instance, before there is a span', async () => {
    const app = await create(HttpModule.register({}));
    const call = firstValueFrom(app.get(HttpService).get(downstream.url, { adapter: 'pigeon' as never }));
    await expect(call).rejects.toThrow("Unknown adapter 'pigeon'");
    expect(application.clientSpans).toEqual([]);
  });

  it.each<[string, () => NonNullable<Parameters<typeof Module>[0]['imports']>[number]]>([
    ['plain HttpModule', () => HttpModule],
    ['register()', () => HttpModule.register({ timeout: 1000 })],
    ['registerAsync()', () => HttpModule.registerAsync({ useFactory: async () => ({ timeout: 1000 }) })],
    ['register({ global: true })', () => HttpModule.register({ global: true })],
  ])('of %s makes a client span and takes the trace along', async (_how, module) => {
    const { module: users, service } = serviceIn([module()]);
    const app = await create(users);
    expect(await application.serve(() => get(app.get<{ http: HttpService }>(service, { strict: false }).http))).toEqual({ ok: true });
    expect(application.childrenOf(application.span('request'))).toEqual(['GET']);
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('makes one span where several modules share axios', async () => {
    const [first, second] = [serviceIn([HttpModule]), serviceIn([HttpModule])];
    const app = await create(first.module, second.module);
    for (const { service } of [first, second]) {
      await application.serve(() => get(app.get<{ http: HttpService }>(service, { strict: false }).http));
    }
    expect(application.clientSpans).toHaveLength(2);
  });

  it('of two applications that share axios belongs to the one that calls, and is free again when both have gone', async () => {
    const [first, second] = [await create(HttpModule), await create(HttpModule)];
    const other = new OutboundApplication();
    await other.serve(() => get(second.get(HttpService)));
    await application.serve(() => get(first.get(HttpService)));
    expect([application.clientSpans.length, other.clientSpans.length]).toEqual([1, 1]);
    first.stop();
    await other.serve(() => get(second.get(HttpService)));
    expect(other.clientSpans).toHaveLength(2);
    second.stop();
    await other.serve(() => get(second.get(HttpService)));
    expect(other.clientSpans).toHaveLength(2);
    expect(Reflect.ownKeys(axios).filter(key => typeof key === 'symbol')).toEqual([]);
    await other.close();
  });

  it('is traced in subclasses, and in services that live for one request', async () => {
    @Injectable()
    class UsersHttp extends HttpService {}
    @Injectable({ scope: Scope.REQUEST })
    class ScopedHttp extends HttpService {}
    @Module({ imports: [HttpModule.register({})], providers: [UsersHttp, { provide: 'AXIOS_INSTANCE_TOKEN', useValue: axios.create() }] })
    class Subclassed {}
    @Module({ providers: [ScopedHttp, { provide: 'AXIOS_INSTANCE_TOKEN', useValue: axios.create() }] })
    class Scoped {}
    const app = await create(Subclassed, Scoped);
    await application.serve(() => get(app.get(UsersHttp)));
    await application.serve(async () => get(await app.resolve(ScopedHttp)));
    expect(application.clientSpans).toHaveLength(2);
  });

  it('is traced in modules that are loaded later', async () => {
    const app = await create(HttpModule.register({}));
    const loader = app.get(LazyModuleLoader);
    const { module, service } = serviceIn([HttpModule.register({ timeout: 500 })]);
    const moduleRef = await loader.load(() => module);
    await application.serve(() => get(moduleRef.get<{ http: HttpService }>(service).http));
    expect(application.clientSpans).toHaveLength(1);
    app.stop();
    expect(Object.hasOwn(loader, 'load')).toBe(false);
    await application.serve(() => get(moduleRef.get<{ http: HttpService }>(service).http));
    expect(application.clientSpans).toHaveLength(1);
  });

  it('lets errors of lazy loading through', async () => {
    const app = await create(HttpModule);
    const loading = app.get(LazyModuleLoader).load(() => Promise.reject<Type>(new Error('no such module')));
    await expect(loading).rejects.toThrow('no such module');
  });

  it('may be replaced by a mock, and other providers may be as odd as they like', async () => {
    let touched = 0;
    const hostile = new Proxy(
      {},
      {
        get: (_target, name) => {
          touched += Number(name === 'axiosRef');
          return undefined;
        },
      },
    );
    class Throwing {
      get axiosRef(): never {
        throw new Error('not yet');
      }
    }
    class Lookalike {
      get axiosRef() {
        return { interceptors: {} };
      }
    }
    const values = [hostile, new Throwing(), new Lookalike(), { axiosRef: axios }, null, 42, 'text', Object.create(null), () => 1];
    @Global()
    @Module({
      providers: [
        { provide: HttpService, useValue: { get: () => 'mocked' } },
        {
          provide: 'AXIOS_INSTANCE_TOKEN',
          useValue: {
            get defaults(): never {
              throw new Error('not yet');
            },
          },
        },
        ...values.map((useValue, index) => ({ provide: `odd-${index}`, useValue })),
      ],
    })
    class Odd {}
    const { module, service } = serviceIn([HttpModule.register({})]);
    const app = await create(Odd, module);
    expect(touched).toBe(0);
    await application.serve(() => get(app.get<{ http: HttpService }>(service, { strict: false }).http));
    expect(application.clientSpans).toHaveLength(1);
  });

  describe('as an observable', () => {
    let http: HttpService;
    beforeEach(async () => (http = (await create(HttpModule.register({}))).get(HttpService)));

    it('makes no span before anybody subscribes, and one per subscription', async () => {
      const call = http.get(`${downstream.url}/ok`);
      expect(application.clientSpans).toEqual([]);
      await application.serve(async () => {
        await lastValueFrom(call);
        await lastValueFrom(call);
      });
      expect(application.clientSpans).toHaveLength(2);
    });

    it('keeps the context of the caller in its operators', async () => {
      const seen: unknown[] = [];
      await application.serve(async request => {
        await lastValueFrom(
          http.get(`${downstream.url}/ok`).pipe(
            map(() => seen.push(trace.getSpan(context.active()) === request)),
            mergeMap(() => http.get(`${downstream.url}/status/200`)),
            map(() => seen.push(trace.getSpan(context.active()) === request)),
          ),
        );
      });
      expect(seen).toEqual([true, true]);
      expect(application.childrenOf(application.span('request'))).toEqual(['GET', 'GET']);
    });

    it('that is unsubscribed in flight has not failed', async () => {
      await application.serve(async () => {
        const arrival = downstream.arrival('/hang');
        const subscription = http.get(`${downstream.url}/hang`).subscribe();
        await arrival;
        subscription.unsubscribe();
        await new Promise(setImmediate);
      });
      expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.UNSET });
      expect(application.clientSpan.attributes).not.toHaveProperty('error.type');
    });

    it('that an operator gives up has ended all the same', async () => {
      await application.serve(async () => {
        await lastValueFrom(http.get(`${downstream.url}/hang`).pipe(timeout(20))).catch(() => undefined);
        await new Promise(setImmediate);
      });
      expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.UNSET });
    });

    it('that an operator retries has a span per attempt', async () => {
      await application.serve(() => lastValueFrom(http.get(`${downstream.url}/flaky/observable/1`).pipe(retry(1))));
      expect(application.clientSpans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([503, 200]);
    });
  });
});
