/** A real server for outgoing calls. It remembers the requests and can answer in every way. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Downstream {
  readonly port: number;
  readonly url: string;
  /** The received requests, oldest first. */
  readonly requests: http.IncomingMessage[];
  /** Returns the headers of the last request to `path`. */
  headersOf(path: string): http.IncomingHttpHeaders;
  /** Resolves when a request to `path` has arrived. */
  arrival(path: string): Promise<http.IncomingMessage>;
  close(): Promise<void>;
}

type Answer = (request: http.IncomingMessage, response: http.ServerResponse, rest: string[]) => void;

const answers: Record<string, Answer> = {
  ok: (_request, response) => response.setHeader('x-answer', 'yes').setHeader('content-type', 'application/json').end('{"ok":true}'),
  /** `/status/503` answers 503. */
  status: (_request, response, [code]) => response.writeHead(Number(code)).end('{"message":"as you wished"}'),
  /** `/flaky/id/2` fails twice, then succeeds. */
  flaky: (request, response, [id = '', failures]) => {
    const count = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, count);
    request.resume();
    response.writeHead(count > Number(failures) ? 200 : 503).end('{}');
  },
  /** `/redirect/2` redirects twice, then answers. `/redirect/1?to=http://…` redirects to that URL. */
  redirect: (request, response, [count]) => {
    const to = new URL(request.url ?? '/', 'http://x').searchParams.get('to');
    const left = Number(count);
    response.writeHead(left > 0 ? 302 : 200, left > 0 ? { location: to ?? `/redirect/${left - 1}` } : {}).end('{}');
  },
  /** Never answers. */
  hang: () => undefined,
  /** Closes the connection instead of answering. */
  reset: request => request.socket.destroy(),
  /** Closes the connection in the middle of the body. */
  cut: (request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => request.socket.destroy());
  },
  /** Sends headers and the beginning of a body that never ends. */
  drip: (_request, response) => response.writeHead(200).write('drop'),
  big: (_request, response) => response.end('x'.repeat(200_000)),
};

const attempts = new Map<string, number>();

export async function startDownstream(): Promise<Downstream> {
  const requests: http.IncomingMessage[] = [];
  const waiting = new Map<string, (request: http.IncomingMessage) => void>();
  const server = http.createServer((request, response) => {
    requests.push(request);
    const path = (request.url ?? '').split('?')[0] ?? '';
    waiting.get(path)?.(request);
    const [, name = '', ...rest] = path.split('/');
    const answer = answers[name] ?? answers.ok;
    answer?.(request, response, rest);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const pathOf = (request: http.IncomingMessage) => (request.url ?? '').split('?')[0];
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    requests,
    headersOf: path => requests.findLast(request => pathOf(request) === path)?.headers ?? {},
    arrival: path => new Promise(resolve => waiting.set(path, resolve)),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
