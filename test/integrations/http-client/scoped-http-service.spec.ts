import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Injectable, Module, Optional, Scope, type Type } from '@nestjs/common';
import { ModuleRef, ModulesContainer, REQUEST } from '@nestjs/core';
import axios from 'axios';
import { firstValueFrom } from 'rxjs';
import { adapters, startApplication, type Setup, type TestApplication } from '../http-server/http-application.js';
import { type Downstream, startDownstream } from './downstream.js';

let target = '';

interface Incoming {
  readonly url: string;
}

/** Returns a controller that calls through the HttpService of its module. */
function gatewayThrough(service: Type<HttpService> = HttpService): Type {
  @Controller()
  class Gateway {
    constructor(@Inject(service) private readonly http: HttpService) {}
    @Get('call') async call() {
      return (await firstValueFrom(this.http.get<unknown>(`${target}/ok`))).data;
    }
  }
  return Gateway;
}

@Injectable({ scope: Scope.REQUEST })
class OwnPerRequest extends HttpService {
  constructor(@Inject(REQUEST) readonly incoming: Incoming) {
    super(axios.create());
  }
}

@Injectable({ scope: Scope.TRANSIENT })
class OwnPerConsumer extends HttpService {
  constructor(@Optional() @Inject('base') baseURL?: string) {
    super(axios.create({ baseURL }));
  }
}

const shared = axios.create();

const settings: Record<string, () => Pick<Setup, 'imports' | 'controllers' | 'providers'>> = {
  'registerAsync() with a factory of the request': () => ({
    imports: [HttpModule.registerAsync({ inject: [REQUEST], useFactory: ({ url }: Incoming) => ({ headers: { 'x-for': url } }) })],
    controllers: [gatewayThrough()],
  }),
  'an asynchronous factory of the axios instance': () => ({
    providers: [
      { provide: 'AXIOS_INSTANCE_TOKEN', inject: [REQUEST], useFactory: async () => Promise.resolve(axios.create()) },
      HttpService,
    ],
    controllers: [gatewayThrough()],
  }),
  'a factory that hands every request the same instance': () => ({
    providers: [{ provide: 'AXIOS_INSTANCE_TOKEN', scope: Scope.REQUEST, useFactory: () => shared }, HttpService],
    controllers: [gatewayThrough()],
  }),
  'a factory of a transient instance': () => ({
    providers: [{ provide: 'AXIOS_INSTANCE_TOKEN', scope: Scope.TRANSIENT, useFactory: () => axios.create() }, HttpService],
    controllers: [gatewayThrough()],
  }),
  'a class that makes an instance per request': () => ({ providers: [OwnPerRequest], controllers: [gatewayThrough(OwnPerRequest)] }),
  'a class that makes an instance per consumer': () => ({ providers: [OwnPerConsumer], controllers: [gatewayThrough(OwnPerConsumer)] }),
};

describe.each(adapters)('an HttpService that is not a singleton, on %s', adapter => {
  let downstream: Downstream;
  let app: TestApplication;

  beforeAll(async () => {
    downstream = await startDownstream();
    target = downstream.url;
  });
  afterAll(() => downstream.close());
  afterEach(() => app.close());

  it.each(Object.entries(settings))('is traced, once, with %s', async (_how, setting) => {
    app = await startApplication(adapter, { ...setting(), nest: { abortOnError: false } });
    for (const attempt of [1, 2]) {
      expect((await app.request('/call')).status).toBe(200);
      await app.recorder.waitForSpans(2 * attempt);
      await app.recorder.waitForTrace();
      const span = app.recorder.spans.findLast(({ name }) => name === 'GET')!.spanContext();
      expect(downstream.headersOf('/ok').traceparent).toBe(`00-${span.traceId}-${span.spanId}-03`);
    }
    expect(app.recorder.tree()).toBe(['GET /call (server)', '  GET (client)', 'GET /call (server)', '  GET (client)'].join('\n'));
  });

  it('stays what Nest made of it', async () => {
    app = await startApplication(adapter, settings['a class that makes an instance per request']!());
    const made = await app.app.resolve(OwnPerRequest);
    expect(Object.getPrototypeOf(made)).toBe(OwnPerRequest.prototype);
    expect(made.constructor).toBe(OwnPerRequest);
    const wrappers = [...app.app.get(ModulesContainer).values()].flatMap(({ providers }) => [...providers.values()]);
    expect(wrappers.map(({ metatype }) => metatype)).toContain(OwnPerRequest);
  });

  it('is let go when the application is closed', async () => {
    const resolveShared = () => app.app.get(ModuleRef).resolve('AXIOS_INSTANCE_TOKEN', undefined, { strict: false });
    @Module({ providers: [OwnPerRequest, { provide: 'AXIOS_INSTANCE_TOKEN', scope: Scope.REQUEST, useFactory: () => shared }] })
    class Scoped {}
    app = await startApplication(adapter, {
      imports: [Scoped],
      controllers: [gatewayThrough(OwnPerRequest)],
      providers: [OwnPerRequest],
      nest: { abortOnError: false },
    });
    await resolveShared();
    expect(Object.getOwnPropertySymbols(shared)).toHaveLength(1);
    await app.close();
    await resolveShared();
    expect(Object.getOwnPropertySymbols(shared)).toHaveLength(0);
  });

  it('makes no span and passes the caller on where tracing is disabled', async () => {
    const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    app = await startApplication(adapter, { ...settings['a factory of a transient instance']!(), tracing: { enabled: false } });
    await app.request('/call', { headers: { traceparent: caller } });
    expect(downstream.headersOf('/ok').traceparent).toBe(caller);
    expect(app.recorder.spans).toEqual([]);
  });
});
