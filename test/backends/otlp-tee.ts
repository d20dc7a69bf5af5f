/** Takes OTLP over HTTP and passes it on to several receivers, byte by byte: each of them shall have the same spans. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export async function startTee(receivers: readonly string[]): Promise<{ readonly url: string; readonly stop: () => void }> {
  const server = createServer((request, response) => {
    void (async () => {
      const body = new Uint8Array(await buffer(request));
      const { 'content-type': type = '', 'content-encoding': encoding } = request.headers;
      const headers = { 'content-type': type, ...(encoding !== undefined && { 'content-encoding': encoding }) };
      const answers = await Promise.all(receivers.map(url => fetch(url + (request.url ?? ''), { method: 'POST', headers, body })));
      response.writeHead(answers.find(({ ok }) => !ok)?.status ?? 200, { 'content-type': 'application/json' }).end('{}');
    })().catch((reason: unknown) => response.writeHead(502).end(String(reason)));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
