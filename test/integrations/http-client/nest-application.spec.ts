import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Headers, Injectable } from '@nestjs/common';
import { context, propagation } from '@opentelemetry/api';
import { firstValueFrom } from 'rxjs';
import { NoSpan } from '../../../lib/index.js';
import { adapters, startApplication, type TestApplication } from '../http-server/http-application.js';
import { type Downstream, startDownstream } from './downstream.js';

let target = '';

@Injectable()
class Users {
  constructor(private readonly http: HttpService) {}
  async viaAxios(): Promise<unknown> {
    return (await firstValueFrom(this.http.get<unknown>(`${target}/ok`))).data;
  }
  async viaFetch(): Promise<unknown> {
    return (await fetch(`${target}/ok`)).json();
  }
}

@Controller()
class Gateway {
  constructor(private readonly users: Users) {}
  @Get('axios') axios() {
    return this.users.viaAxios();
  }
  @Get('fetch') fetch() {
    return this.users.viaFetch();
  }
  @Get('both') async both() {
    return Promise.all([this.users.viaAxios(), this.users.viaFetch()]);
  }
  /** Calls without the caller's baggage, and with its own baggage. */
  @Get('baggage') async baggage() {
    await context.with(propagation.deleteBaggage(context.active()), () => this.users.viaFetch());
    const own = propagation.createBaggage({ tenant: { value: 'me' } });
    await context.with(propagation.setBaggage(context.active(), own), () => this.users.viaAxios());
  }
  @NoSpan() @Get('quiet/axios') quietAxios() {
    return this.users.viaAxios();
  }
  @NoSpan() @Get('quiet/fetch') quietFetch() {
    return this.users.viaFetch();
  }
  @Get('ok') ok(@Headers('traceparent') traceparent: string) {
    return { traceparent };
  }
}

describe.each(adapters)('calls of a Nest application on %s', adapter => {
  let downstream: Downstream;
  let app: TestApplication;
  const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

  beforeAll(async () => {
    downstream = await startDownstream();
    target = downstream.url;
  });
  afterAll(() => downstream.close());
  afterEach(() => app.close());
  const start = async (tracing: Parameters<typeof startApplication>[1]['tracing'] = {}) =>
    (app = await startApplication(adapter, { imports: [HttpModule], controllers: [Gateway], providers: [Users], tracing }));

  it('are in one trace with the request that makes them, on both sides of the wire', async () => {
    await start();
    target = `http://127.0.0.1:${app.port}`;
    for (const way of ['axios', 'fetch']) {
      app.recorder.clear();
      const { body } = await app.request(`/${way}`);
      await app.recorder.waitForSpans(3);
      expect(app.recorder.tree()).toBe([`GET /${way} (server)`, '  GET (client)', '    GET /ok (server)'].join('\n'));
      expect(JSON.parse(body)).toEqual({ traceparent: expect.stringContaining(app.recorder.spans[0]!.spanContext().traceId) });
    }
    target = downstream.url;
  });

  it.each(['/quiet/axios', '/quiet/fetch'])('from a handler marked @NoSpan() (%s) pass the caller on', async path => {
    await start();
    await app.request(path, { headers: { traceparent: caller } });
    expect(downstream.headersOf('/ok').traceparent).toBe(caller);
    expect(app.recorder.spans).toEqual([]);
  });

  it.each(['/axios', '/fetch'])('from an ignored request (%s) pass the caller on', async path => {
    await start({ inbound: { ignore: '*' } });
    await app.request(path, { headers: { traceparent: caller } });
    expect(downstream.headersOf('/ok').traceparent).toBe(caller);
    expect(app.recorder.spans).toEqual([]);
  });

  it.each(['/axios', '/fetch'])('where tracing is disabled (%s) pass the caller on', async path => {
    await start({ enabled: false });
    await app.request(path, { headers: { traceparent: caller } });
    expect(downstream.headersOf('/ok').traceparent).toBe(caller);
    expect(app.recorder.spans).toEqual([]);
  });

  it.each(['/axios', '/fetch'])('where tracing is disabled (%s) are not taken for those of another application', async path => {
    const other = await startApplication(adapter, { controllers: [] });
    try {
      await start({ enabled: false });
      await app.request(path);
      expect(downstream.headersOf('/ok').traceparent).toBeUndefined();
      expect(other.recorder.spans).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('from an ignored request carry the baggage that is in force where they are made', async () => {
    await start({ inbound: { ignore: '*' } });
    await app.request('/baggage', { headers: { traceparent: caller, baggage: 'secret=1' } });
    const [without, own] = downstream.requests.slice(-2).map(({ headers }) => headers);
    expect([without?.baggage, own?.baggage]).toEqual([undefined, 'tenant=me']);
    expect([without?.traceparent, own?.traceparent]).toEqual([caller, caller]);
  });

  it('from an ignored request are made for a caller that was looked at when it came', async () => {
    let asked = 0;
    const trust = () => {
      asked += 1;
      // Reading the active context must not cause an endless recursion.
      propagation.getActiveBaggage();
      return true;
    };
    await start({ inbound: { ignore: '*', trust } });
    await app.request('/both', { headers: { traceparent: caller } });
    expect(asked).toBe(1);
    expect(downstream.headersOf('/ok').traceparent).toBe(caller);
  });

  it('are no longer traced after the application was closed', async () => {
    await start();
    const users = app.app.get(Users);
    await app.request('/both');
    await app.recorder.waitForSpans(3);
    await app.close();
    await users.viaAxios();
    await users.viaFetch();
    expect(downstream.headersOf('/ok').traceparent).toBeUndefined();
    expect(app.recorder.spans).toHaveLength(3);
  });
});
