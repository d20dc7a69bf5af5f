/** A viewer in another process, asked more than it can answer. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach } from '@jest/globals';
import { OtherViewer } from '../../../lib/viewer/server/other-viewer.js';
import { traceId } from '../finished-span.js';

let server: Server;
let other: OtherViewer;
afterEach(() => {
  other.close();
  server.closeAllConnections();
  server.close();
});

/** Answers `/api/status` and what is posted; `onQuestion` answers for a trace, or does not. */
async function host(onQuestion: (path: string, response: ServerResponse) => void): Promise<void> {
  server = createServer((request, response) => {
    request.resume();
    if (request.url === '/api/status') response.end('{"viewer":"nestjs-tracing"}');
    else if (request.method === 'POST') response.end();
    else onQuestion(request.url ?? '', response);
  });
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
  other = new OtherViewer((server.address() as { port: number }).port);
}

describe('A viewer in another process', () => {
  it('takes spans while it answers no question, and is still known for a viewer', async () => {
    await host(() => undefined);
    const questions = Array.from({ length: 100 }, (_, index) => other.spansOf(traceId(String(index + 1)), 600));
    expect(await other.owner()).toBe('viewer');
    expect(await other.send(new Uint8Array())).toBe(true);
    expect((await Promise.all(questions)).flat()).toEqual([]);
  });

  it('is asked for one trace once, however many want to know', async () => {
    const asked: string[] = [];
    await host((path, response) => {
      asked.push(path);
      setTimeout(() => response.end('{}'), 20);
    });
    await Promise.all(Array.from({ length: 100 }, () => other.spansOf(traceId('a'), 1000)));
    expect(asked).toHaveLength(1);
    await other.spansOf(traceId('a'), 1000);
    expect(asked).toHaveLength(2);
  });
});
