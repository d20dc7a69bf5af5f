/** Who may talk to the viewer, and what a page of it may do. */
import { createHash } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { builtPage } from '../../../lib/viewer/page/built-page.js';
import { call, otlp, otlpSpan, post, spansOf, startViewer } from './viewers.js';

const PATHS = ['/', '/trace/abc', '/api/status', '/api/traces', '/api/live', '/api/files', '/v1/traces', '/nowhere'];

describe('The viewer', () => {
  it('answers to the names that only this machine gives it, so that no DNS can lead a web site here', async () => {
    const { url } = await startViewer();
    const { port } = new URL(url);
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `localhost.evil.example:${port}`,
      `127.0.0.1:${port}.evil`,
      `0.0.0.0:${port}`,
    ]) {
      for (const path of PATHS) expect([host, path, (await call(url + path, { headers: { host } })).status]).toEqual([host, path, 403]);
      expect((await post(`${url}/v1/traces`, otlp(otlpSpan()), 'application/json', { host })).status).toBe(403);
    }
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, `LOCALHOST:${port}`]) {
      expect((await call(`${url}/api/status`, { headers: { host } })).status).toBe(200);
    }
  });

  it('listens on the loopback alone', async () => {
    const { url } = await startViewer();
    const outside = Object.values(networkInterfaces())
      .flat()
      .filter(one => one && !one.internal && one.family === 'IPv4');
    for (const one of outside) {
      const refused = await new Promise(resolve =>
        connect(Number(new URL(url).port), one!.address)
          .on('connect', () => resolve(false))
          .on('error', () => resolve(true)),
      );
      expect([one!.address, refused]).toEqual([one!.address, true]);
    }
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it('lets no other site ask, send or forget, and lets it link', async () => {
    const viewer = await startViewer();
    const { url, store } = viewer;
    store.add(spansOf({ id: '1' }));
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `${url}0` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      for (const path of ['/api/status', '/api/traces', '/api/live']) expect((await call(url + path, { headers })).status).toBe(403);
      expect((await call(`${url}/api/traces`, { method: 'DELETE', headers })).status).toBe(403);
      for (const path of ['/v1/traces', '/api/v2/spans', '/v1/metrics', '/api/files'])
        expect((await post(url + path, '{}', 'application/json', headers)).status).toBe(403);
      expect((await call(`${url}/trace/abc`, { headers })).status).toBe(200);
    }
    expect(store.traceCount).toBe(1);
    for (const headers of [{ origin: url }, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, {}] as Record<
      string,
      string
    >[]) {
      expect((await call(`${url}/api/status`, { headers })).status).toBe(200);
    }
  });

  it('never says that another site may read an answer', async () => {
    const { url } = await startViewer();
    for (const headers of [{}, { origin: 'https://evil.example' }, { origin: url }] as Record<string, string>[]) {
      for (const path of PATHS.filter(one => one !== '/api/live')) {
        for (const method of ['GET', 'OPTIONS', 'POST']) {
          const answer = await call(url + path, { method, headers });
          expect(Object.keys(answer.headers).filter(name => name.startsWith('access-control-'))).toEqual([]);
        }
      }
    }
  });

  it('serves the page under a policy that runs its own script and style and nothing else', async () => {
    const { url } = await startViewer();
    const { headers, text } = await call(`${url}/`);
    expect(text).toBe(builtPage);
    const policy = Object.fromEntries(
      String(headers['content-security-policy'])
        .split('; ')
        .map(part => [part.split(' ')[0], part.split(' ').slice(1).join(' ')]),
    );
    const hashOf = (element: string) =>
      `'sha256-${createHash('sha256')
        .update(text.split(new RegExp(`<${element}[^>]*>`))[1]!.split(`</${element}>`)[0]!)
        .digest('base64')}'`;
    expect(policy).toEqual({
      'default-src': "'none'",
      'script-src': hashOf('script'),
      'style-src': hashOf('style'),
      'connect-src': "'self'",
      'img-src': 'data:',
      'base-uri': "'none'",
      'frame-ancestors': "'none'",
      'form-action': "'none'",
    });
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });

  it('lets the browser ask for the trace of a page before the page does, where there is one', async () => {
    const { url, store } = await startViewer();
    const [span] = spansOf({ id: '1' });
    store.add([span!]);
    const linkOf = async (path: string) => (await call(url + path)).headers.link;
    const { traceId } = span!;
    for (const path of [`/trace/${traceId}`, `/trace/${traceId}?span=1`, `/trace/${traceId}/`])
      expect(await linkOf(path)).toBe(`</api/traces/${traceId}>; rel=preload; as=fetch; crossorigin`);
    for (const path of ['/', '/trace/abc', `/trace/${'b'.repeat(32)}`, `/trace/${traceId}>;x`, `/trace/${traceId}%0d%0ax`])
      expect([path, await linkOf(path)]).toEqual([path, undefined]);
  });

  it('serves the page compressed where that is accepted, for every path that shows something', async () => {
    const { url } = await startViewer();
    for (const path of ['/', '/?q=error', '/trace/abc?span=1', '/trace/abc?with=def']) {
      const { status, headers, body } = await call(url + path, { headers: { 'accept-encoding': 'gzip, br' } });
      expect([path, status, headers['content-encoding'], gunzipSync(body).toString()]).toEqual([path, 200, 'gzip', builtPage]);
    }
  });

  it('tells who asks for the head of a page or an answer what it would be', async () => {
    const { url } = await startViewer();
    for (const path of ['/', '/trace/abc', '/api/status', '/api/traces', '/api/services']) {
      const [head, whole] = [await call(url + path, { method: 'HEAD' }), await call(url + path)];
      expect([path, head.status, head.headers['content-length'], head.text]).toEqual([path, 200, String(whole.body.length), '']);
      expect(head.headers['content-type']).toBe(whole.headers['content-type']);
    }
    expect((await call(`${url}/api/live`, { method: 'HEAD' })).status).toBe(404);
  });

  it('knows nothing else, and lets nothing of what it says be run', async () => {
    const { url } = await startViewer();
    for (const path of [
      '/nowhere',
      '/favicon.ico',
      '/trace/',
      '/services/x',
      '/api',
      '/api/traces/abc',
      `/api/traces/${'a'.repeat(32)}`,
      '//evil.example/',
      '/..%2f..%2fetc/passwd',
    ]) {
      const { status, headers } = await call(url + path);
      expect([path, status]).toEqual([path, 404]);
      expect(headers).toMatchObject({
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'x-content-type-options': 'nosniff',
        'content-type': 'text/plain; charset=utf-8',
      });
    }
    expect((await call(`${url}/api/traces`, { method: 'POST' })).status).toBe(404);
    const status = await call(`${url}/api/status`);
    expect(status.headers).toMatchObject({
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    });
  });
});
