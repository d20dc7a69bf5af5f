/** What the page is told: lists, traces, services, and what changes while it looks. */
import { connect } from 'node:net';
import { readOtlp } from '../../../lib/viewer/model/otlp-json.js';
import { finishedSpan, traceId } from '../finished-span.js';
import { toTraceSpan } from '../../../lib/viewer/model/trace-span.js';
import { until } from './services.js';
import { call, Live, spansOf, startViewer } from './viewers.js';

const request = { id: '1', name: 'GET /', from: 0, to: 50, attributes: { 'http.response.status_code': 200 } };
const failing = {
  id: '2',
  parent: '1',
  name: 'GET',
  kind: 2,
  from: 10,
  to: 40,
  error: 'gone',
  attributes: { 'server.address': 'stock', 'server.port': 80 },
  events: [
    { name: 'wait', time: [1_790_000_000, 11_000_000] as [number, number] },
    { name: 'exception', time: [1_790_000_000, 12_000_000] as [number, number], attributes: { 'exception.type': 'E' } },
  ],
};
const called = { id: '3', parent: '2', name: 'GET /stock', from: 15, to: 35, service: 'stock' };
const id = (short: string) => short.padStart(16, '0');
const ids = ({ traces }: { traces: { traceId: string }[] }) => traces.map(one => one.traceId.replace(/^0+/, ''));

describe("The viewer's API", () => {
  it('lists what matches, the newest first', async () => {
    const { url, store } = await startViewer();
    store.add(
      spansOf(
        { ...request, trace: 'b', from: 100, to: 101 },
        { ...request, trace: 'a' },
        { ...request, trace: 'c', from: 50, to: 150, error: 'x' },
      ),
    );
    const list = (query = '') => call(`${url}/api/traces${query}`).then(answer => answer.json());
    expect(ids(await list())).toEqual(['b', 'c', 'a']);
    expect((await list()).traces[0]).toMatchObject({
      name: 'GET /',
      service: 'orders',
      answer: '200',
      durationNs: 1e6,
      spanCount: 1,
      startNs: '1790000000100000000',
    });
    expect(await list('?q=error')).toMatchObject({ traces: [{ isError: true }], stored: 3 });
    expect(ids(await list(`?q=${encodeURIComponent('>60ms -"a? b&c"')}`))).toEqual(['c']);
  });

  it('draws a trace as columns in the order of its tree, in which each text stands once', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf(called, failing, request));
    const trace = (await call(`${url}/api/traces/${traceId('a')}`)).json();
    const text = (index: number) => (index < 0 ? '' : trace.texts[index]);
    expect(trace).toMatchObject({ traceId: traceId('a'), startNs: '1790000000000000000', droppedSpans: 0, revision: expect.any(Number) });
    expect(new Set(trace.texts).size).toBe(trace.texts.length);
    expect(
      trace.spanId.map((spanId: string, index: number) => [
        spanId,
        ...['name', 'service', 'peer'].map(column => text(trace[column][index])),
        ...['parent', 'kind', 'status', 'offsetNs', 'durationNs', 'answer'].map(column => trace[column][index]),
      ]),
    ).toEqual([
      [id('1'), 'GET /', 'orders', '', -1, 0, 0, 0, 50e6, '200'],
      [id('2'), 'GET', 'orders', 'stock:80', 0, 2, 2, 10e6, 30e6, ''],
      [id('3'), 'GET /stock', 'stock', '', 1, 0, 0, 15e6, 20e6, ''],
    ]);
    expect(trace).toMatchObject({
      events: { 1: [11e6, -12e6 - 1] },
      missingParent: {},
      shiftNs: {},
      path: {
        0: [
          [0, 10e6],
          [40e6, 50e6],
        ],
        2: [[15e6, 35e6]],
      },
      folds: [],
      services: [
        { service: 'orders', spanCount: 2, errorCount: 1, selfNs: 30e6 },
        { service: 'stock', spanCount: 1, errorCount: 0, selfNs: 20e6 },
      ],
    });
    store.add(spansOf({ id: '4', parent: '9', from: -1000 }));
    const later = (await call(`${url}/api/traces/${traceId('a')}`)).json();
    expect(later.spanId).toHaveLength(4);
    expect(later).toMatchObject({ startNs: '1789999999000000000', missingParent: { 0: id('9') } });
    expect(later.revision).toBeGreaterThan(trace.revision);
  });

  it('shows what happened at no valid time as at the start of its span', async () => {
    const { url, store } = await startViewer();
    const time: [number, number] = [NaN, NaN];
    const events = [{ name: 'x', time }, ...failing.events];
    const whole = finishedSpan({ ...failing, events });
    store.add([toTraceSpan(whole), toTraceSpan({ ...finishedSpan({ id: '9', from: 10 }), endTime: [Infinity, 0.5] })]);
    const drawn = (await call(`${url}/api/traces/${traceId('a')}`)).json();
    expect(drawn.spanId).toEqual([id('2'), id('9')]);
    expect(drawn.events).toEqual({ 0: [0, 1e6, -2e6 - 1] });
    expect((await call(`${url}/api/traces/${traceId('a')}/otlp`)).status).toBe(200);
    expect(toTraceSpan({ ...whole, startTime: time }).startNs).toBe(toTraceSpan(whole).endNs);
  });

  it('hands a trace out as OTLP JSON that can be read again', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf(request, failing, called));
    const { headers, text } = await call(`${url}/api/traces/${traceId('a')}/otlp`);
    const plain = [request, failing, called].map(sketch => toTraceSpan(finishedSpan(sketch)));
    expect(readOtlp(JSON.parse(text)).spans.map(({ spanId, name, endNs }) => [spanId, name, endNs])).toEqual(
      plain.map(({ spanId, name, endNs }) => [spanId, name, endNs]),
    );
    expect(headers['content-disposition']).toContain(`trace-${traceId('a')}.json`);
  });

  it('hands out one span of a trace with everything that a panel shows of it', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf(request, failing, called, { id: '4', error: 'refused', attributes: { 'error.type': 'Refusal' } }));
    const ask = (spanId: string) => call(`${url}/api/traces/${traceId('a')}/span?id=${id(spanId)}`);
    const details = (await ask('2')).json();
    expect(details).toMatchObject({
      traceId: traceId('a'),
      spanId: id('2'),
      parentSpanId: id('1'),
      startNs: '1790000000010000000',
      attributes: failing.attributes,
      exceptions: [{ type: 'E' }],
      events: [
        { name: 'wait', offsetNs: 1e6, attributes: {} },
        { name: 'exception', offsetNs: 2e6, attributes: {} },
      ],
      links: [],
      resource: { 'service.name': 'orders' },
    });
    expect(readOtlp(details.otlp).spans).toEqual([expect.objectContaining({ spanId: id('2'), name: 'GET' })]);
    expect((await ask('1')).json().exceptions).toEqual([]);
    expect((await ask('4')).json().exceptions).toEqual([{ type: 'Refusal', message: 'refused' }]);
    for (const nobody of ['9', '', '__proto__']) expect((await ask(nobody)).status).toBe(404);
    expect((await call(`${url}/api/traces/${traceId('b')}/span?id=${id('2')}`)).status).toBe(404);
  });

  it('does not say twice that a call was answered with a failure', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf({ id: '1', error: '', attributes: { 'http.response.status_code': 502, 'error.type': '502' } }));
    expect((await call(`${url}/api/traces/${traceId('a')}/span?id=${id('1')}`)).json().exceptions).toEqual([]);
  });

  it('finds the spans of a trace that match, and none where nothing is asked', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf(request, failing, called));
    const find = (q: string) => call(`${url}/api/traces/${traceId('a')}/found?q=${encodeURIComponent(q)}`).then(one => one.json());
    expect(await find('service:stock')).toEqual([id('3')]);
    expect(await find('GET -error')).toEqual([id('1'), id('3')]);
    expect(await find('server.port=80')).toEqual([id('2')]);
    expect(await find('nowhere')).toEqual([]);
    for (const nothing of ['', '  ', 'service:']) expect(await find(nothing)).toBeNull();
  });

  it('knows who calls whom', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf(request, failing, called, { ...called, id: '4', to: 20, error: 'x' }, { ...called, trace: 'b' }));
    expect((await call(`${url}/api/services`)).json()).toEqual({
      services: [
        { name: 'orders', spanCount: 2, errorCount: 1, traceCount: 1 },
        { name: 'stock', spanCount: 3, errorCount: 1, traceCount: 2 },
      ],
      calls: [{ from: 'orders', to: 'stock', count: 2, errorCount: 1, p50Ns: 5e6, p95Ns: 20e6 }],
    });
  });

  it('says what it is and how full it is, and forgets everything when told to', async () => {
    const { url, store } = await startViewer(5e6);
    store.add(spansOf(request, failing, called));
    const status = (await call(`${url}/api/status`)).json();
    expect(status).toEqual({
      viewer: 'nestjs-tracing',
      version: expect.stringMatching(/^\d/),
      pid: process.pid,
      traceCount: 1,
      spanCount: 3,
      storedBytes: store.storedBytes,
      maxBytes: 5e6,
    });
    expect((await call(`${url}/api/traces`, { method: 'DELETE' })).status).toBe(204);
    expect((await call(`${url}/api/traces`)).json()).toEqual({ traces: [], stored: 0 });
    expect((await call(`${url}/api/traces/${traceId('a')}`)).status).toBe(404);
    expect((await call(`${url}/api/status`)).json()).toMatchObject({ spanCount: 0, storedBytes: 0 });
  });
});

describe('A live connection', () => {
  it('is had by 32 pages at a time, each of which is told texts of 300 characters', async () => {
    const { url, store } = await startViewer();
    const long = 'x'.repeat(100_000);
    store.add(spansOf({ id: '1', name: long, service: long, attributes: { 'http.response.status_code': long } }));
    const pages = await Promise.all(Array.from({ length: 32 }, () => Live.open(`${url}/api/live`)));
    expect(JSON.stringify(await pages[0]!.next('traces')).length).toBeLessThan(1500);
    expect((await call(`${url}/api/live`)).status).toBe(503);
    for (const page of pages) page.close();
    await until(
      () => Live.open(`${url}/api/live`),
      page => {
        page.close();
        return page.status === 200;
      },
    );
  });

  it('begins with what is there, and tells of new spans within 250 ms', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf({ ...request, trace: 'a' }));
    const live = await Live.open(`${url}/api/live`);
    expect(ids(await live.next('traces'))).toEqual(['a']);
    await live.next('changed');
    const began = performance.now();
    store.add(spansOf({ ...request, trace: 'b' }));
    const { traces, stored } = await live.next('changed', live.events.length);
    expect(performance.now() - began).toBeLessThan(250);
    expect([ids({ traces }), stored]).toEqual([['b'], 2]);
    live.close();
  });

  it('tells of what matches only, and of what matches no longer', async () => {
    const { url, store } = await startViewer();
    const live = await Live.open(`${url}/api/live?q=${encodeURIComponent('<100ms -service:stock')}`);
    await live.next('traces');
    store.add(spansOf({ ...request, trace: 'a' }, { ...request, trace: 'b', to: 500 }));
    expect(ids(await live.next('changed'))).toEqual(['a']);
    store.add(spansOf({ ...called, trace: 'a' }));
    expect((await live.next('gone')).traceIds).toEqual([traceId('a')]);
    live.close();
  });

  it('tells of what was evicted, and of a clearing', async () => {
    const { url, store } = await startViewer(3000);
    const live = await Live.open(`${url}/api/live`);
    store.add(spansOf({ ...request, trace: 'a' }));
    await live.next('changed');
    store.add(spansOf({ ...request, trace: 'b' }, { ...request, trace: 'c' }));
    expect((await live.next('gone')).traceIds).toContain(traceId('a'));
    const before = live.events.length;
    store.clear();
    expect((await live.next('gone', before)).traceIds).toBe('all');
    live.close();
  });

  it('serves many pages, and keeps nothing for those that have gone', async () => {
    const { url, store } = await startViewer();
    const pages = await Promise.all(Array.from({ length: 30 }, () => Live.open(`${url}/api/live`)));
    await Promise.all(pages.map(page => page.next('traces')));
    for (const page of pages.slice(1)) page.close();
    store.add(spansOf(request));
    expect(ids(await pages[0]!.next('changed'))).toEqual(['a']);
    pages[0]!.close();
  });

  it('holds nothing back for a page that does not read, and catches it up when it does', async () => {
    const { url, store } = await startViewer(200e6);
    const { port, host } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    await new Promise<void>(resolve => void socket.once('connect', resolve));
    socket.pause();
    socket.write(`GET /api/live HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    const witness = await Live.open(`${url}/api/live`);
    // More than the sockets between them take in: a megabyte of names, told of again and again.
    for (let round = 1; round <= 30; round++) {
      const before = witness.events.length;
      const name = `round ${round} `.padEnd(300, 'x');
      store.add(spansOf(...Array.from({ length: 1500 }, (_, trace) => ({ id: `${round}`, trace: `${trace + 1}`, name, from: -round }))));
      await witness.next('changed', before);
    }
    const atRest = witness.events.length;
    let received = '';
    const caughtUp = new Promise<void>(resolve => {
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString();
        if (received.includes('round 30')) resolve();
      });
    });
    socket.resume();
    await caughtUp;
    // Rounds in between have been passed over.
    expect(received.match(/^event: changed/gm)!.length).toBeLessThan(atRest / 2);
    socket.destroy();
    witness.close();
  });
});
