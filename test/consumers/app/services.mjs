/** Answers like PostgreSQL, MongoDB, Redis, SQS and a service with language models, as little as their clients need. */
import { BSON } from 'mongodb';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

/** Starts all of them, and returns their ports. */
export async function startServices() {
  const servers = {
    pg: perConnection(postgres),
    mongodb: perConnection(mongodb),
    ioredis: perConnection(redis),
    http: createHttpServer(http),
  };
  for (const server of Object.values(servers)) await once(server.listen(0, '127.0.0.1'), 'listening');
  return Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.address().port]));
}

function perConnection(serve) {
  return createServer(socket => {
    socket.on('error', () => undefined);
    serve(socket);
  });
}

function postgres(socket) {
  const message = (type, body) => Buffer.concat([Buffer.from(type), lengthOf(body, 4), body]);
  const ready = message('Z', Buffer.from('I'));
  // The first message has no type; 'Q' is a statement.
  socket.once('data', () => {
    socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]));
    socket.on('data', ([type]) => {
      if (type === 'Q'.charCodeAt(0)) socket.write(Buffer.concat([message('C', Buffer.from('SELECT 0\0')), ready]));
    });
  });
}

function lengthOf(body, own) {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + own);
  return length;
}

const OP_QUERY = 2004;
const HELLO = { ok: 1, isWritablePrimary: true, helloOk: true, minWireVersion: 0, maxWireVersion: 21, maxBsonObjectSize: 16_777_216 };

function mongodb(socket) {
  socket.on('data', request => {
    const isQuery = request.readInt32LE(12) === OP_QUERY;
    const command = isQuery ? {} : BSON.deserialize(request.subarray(21));
    const reply = command.find === undefined ? HELLO : { ok: 1, cursor: { firstBatch: [], id: BSON.Long.ZERO, ns: 'test.orders' } };
    const body = Buffer.from(BSON.serialize(reply));
    const head = Buffer.alloc(isQuery ? 36 : 21);
    head.writeInt32LE(head.length + body.length, 0);
    head.writeInt32LE(request.readInt32LE(4), 8);
    head.writeInt32LE(isQuery ? 1 : 2013, 12);
    if (isQuery) head.writeInt32LE(1, 32);
    socket.write(Buffer.concat([head, body]));
  });
}

function redis(socket) {
  socket.on('data', request => {
    for (const _ of request.toString().matchAll(/^\*\d+\r\n/gm)) socket.write('+OK\r\n');
  });
}

function http(request, response) {
  const completion = {
    id: '1',
    object: 'chat.completion',
    model: 'tiny',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' } }],
  };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.url === '/v1/chat/completions' ? completion : { QueueUrl: 'http://127.0.0.1/orders' }));
}
