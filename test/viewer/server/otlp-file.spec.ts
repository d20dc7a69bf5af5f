/** Files of OTLP JSON that somebody opens in the page, hostile ones included. */
import { writeOtlp } from '../../../lib/viewer/model/otlp-json.js';
import { traceId } from '../finished-span.js';
import { large } from '../page/generated-traces.js';
import { call, otlp, otlpSpan, spansOf, startViewer } from './viewers.js';

const open = (url: string, body: string | Uint8Array) => call(`${url}/api/files`, { method: 'POST', body });
const request = (trace: string, name = 'GET /file') => JSON.stringify(writeOtlp(spansOf({ id: '1', trace, name })));

describe('A file opened in the page', () => {
  it.each([
    ['one request', request('a'), ['a']],
    ['a list of requests', `[${request('a')},${request('b')}]`, ['a', 'b']],
    ['a request on each line, with empty ones between', `${request('a')}\n\r\n${request('b')}\n`, ['a', 'b']],
    ['a byte order mark in front', `\ufeff${request('a')}`, ['a']],
    ['a request twice', `${request('a')}\n${request('a')}`, ['a']],
  ])('may hold %s', async (_what, file, traces) => {
    const { url, store } = await startViewer();
    const answer = await open(url, file);
    expect(answer.status).toBe(200);
    expect(answer.json().traces.map((one: { traceId: string; name: string }) => [one.traceId, one.name])).toEqual(
      traces.map(trace => [traceId(trace), 'GET /file']),
    );
    expect(store.spanCount).toBe(traces.length);
    expect((await call(`${url}/api/traces/${traceId('a')}`)).status).toBe(200);
  });

  it('adds to a trace that is here already what was missing of it', async () => {
    const { url, store } = await startViewer();
    store.add(spansOf({ id: '1', name: 'here' }));
    const file = JSON.stringify(writeOtlp(spansOf({ id: '1', name: 'there' }, { id: '2', parent: '1' })));
    expect((await open(url, file)).json().traces).toMatchObject([{ name: 'here', spanCount: 2 }]);
  });

  it.each([
    ['nothing', '', 400, 'There are no spans in this file.'],
    ['no JSON', 'PK\u0003\u0004 a picture of a cat', 400, 'This file is not OTLP JSON.'],
    ['half a request', request('a').slice(0, -5), 400, 'This file is not OTLP JSON.'],
    ['other JSON', '{"name":"nestjs-tracing"}', 400, 'There are no spans in this file.'],
    ['a number', '7', 400, 'This file is not OTLP JSON.'],
    ['requests and nothings', `[${request('a')},null]`, 400, 'This file is not OTLP JSON.'],
    ['brackets a million deep', '['.repeat(1e6), 400, 'This file is not OTLP JSON.'],
    ['spans that make no sense', otlp(null, 7, {}, otlpSpan({ traceId: '__proto__' })), 400, 'There are no spans in this file.'],
    ['millions of empty objects', `[${'{},'.repeat(5e6)}{}]`, 413, 'This file is made of more than 4000000 parts'],
    ['more than twice what is stored', request('a').padEnd(64e6 + 1), 413, 'This file is longer than 64000000 bytes'],
  ])('that holds %s changes nothing, and the answer says why', async (_what, file, status, message) => {
    const { url, store } = await startViewer();
    const answer = await open(url, file);
    expect([answer.status, answer.json().message]).toEqual([status, message]);
    expect(store.spanCount).toBe(0);
    expect(Object.keys({})).toEqual([]);
  });

  it('may be the download of the largest trace there can be', async () => {
    const { url, store } = await startViewer();
    store.add(large(1, 1_790_000_000_000, 60_000));
    const [trace] = (await call(`${url}/api/traces`)).json().traces;
    const { text } = await call(`${url}/api/traces/${trace.traceId}/otlp`);
    store.clear();
    const { traces } = (await open(url, text)).json();
    expect(traces).toMatchObject([{ traceId: trace.traceId, spanCount: trace.spanCount, errorCount: trace.errorCount }]);
    expect((await call(`${url}/api/traces/${trace.traceId}/otlp`)).text).toBe(text);
  });

  it('is posted', async () => {
    const { url } = await startViewer();
    for (const method of ['GET', 'PUT', 'DELETE']) expect((await call(`${url}/api/files`, { method })).status).toBe(405);
  });
});
