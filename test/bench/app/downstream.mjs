/** The service that `/chain` calls: a bare node:http server that answers the same few bytes. */
import { createServer } from 'node:http';
import { answer, tell } from './parent.mjs';

const body = JSON.stringify({ id: '1', name: 'user 1' });
const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };

const server = createServer((_request, response) => response.writeHead(200, headers).end(body));
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }));
answer({});
