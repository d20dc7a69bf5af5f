/** A viewer that is there and does not answer, as at a breakpoint. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { ViewerLink } from '../../../lib/viewer/server/viewer-link.js';
import { finishedSpan } from '../finished-span.js';
import { until } from './services.js';

describe('A service whose viewer stands still', () => {
  it('keeps its spans until the viewer goes on, however long that takes', async () => {
    let isSilent = false;
    let received = 0;
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      // A body that is never taken: the sender gives up at once, which otherwise takes it five seconds.
      if (isSilent && request.method === 'POST') request.destroy();
      if (isSilent) return;
      request.resume();
      if (request.method === 'POST') received++;
      response.end(request.method === 'POST' ? '' : '{"viewer":"nestjs-tracing"}');
    };
    const server = createServer(answer);
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const said: string[] = [];
    const link = new ViewerLink({ port, maxBytes: 1e6 }, { encode: () => Promise.resolve(Buffer.from('x')), say: text => said.push(text) });
    link.start();
    await until(
      () => said.length,
      count => count === 1,
    );
    isSilent = true;
    link.take(finishedSpan({ id: '1' }));
    // Longer than a port that no viewer has ever been at is waited for.
    await new Promise(resolve => setTimeout(resolve, 6500));
    isSilent = false;
    await until(
      () => received,
      count => count === 1,
    );
    expect(link.traceUrlPrefix).toBeDefined();
    expect(said).toHaveLength(1);
    await link.close();
    server.closeAllConnections();
    server.close();
  });
});
