/** Hands requests to the server's request event without sockets and measures how long a block of them takes. */
import { randomBytes } from 'node:crypto';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers';
import { createApplication } from './application.mjs';
import { answer, tell } from './parent.mjs';

const AT_ONCE = 16;
const TURNS_PER_BLOCK = 12;
const DISTINCT_REQUESTS = 512;
const turn = () => new Promise(resolve => setImmediate(resolve));

/** Takes what is written to it; has what instrumentations ask of a connection. */
class Wire extends Writable {
  remoteAddress = '127.0.0.1';
  remotePort = 50_000;

  _write(_chunk, _encoding, done) {
    done();
  }

  setTimeout() {
    return this;
  }
}

const [setUpName, adapterName, optionsJson, caller] = process.argv.slice(2);
const app = await createApplication(setUpName, adapterName, JSON.parse(optionsJson));
await app.getHttpAdapter().getInstance().ready?.();
const server = app.getHttpServer();
const wires = Array.from({ length: AT_ONCE }, () => new Wire());
const parents = Array.from({ length: DISTINCT_REQUESTS }, () => {
  const ids = `${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}`;
  return `00-${ids}-${caller === 'sampled' ? '01' : '00'}`;
});
let next = 0;

answer({ measure });
tell({});

/** ns per request of each block. */
async function measure({ blocks }) {
  const ns = [];
  for (let block = 0; block < blocks; block++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < TURNS_PER_BLOCK; i++) await Promise.all(wires.map(serve));
    ns.push(Number(process.hrtime.bigint() - start) / (TURNS_PER_BLOCK * AT_ONCE));
    // Exporting happens between the blocks.
    await turn();
    await turn();
  }
  return { ns };
}

function serve(wire) {
  const number = next++ % DISTINCT_REQUESTS;
  const request = new IncomingMessage(wire);
  request.method = 'GET';
  request.url = `/users/${1000 + number}`;
  request.httpVersion = '1.1';
  const context = caller === 'none' ? {} : { traceparent: parents[number] };
  request.headers = { host: '127.0.0.1:8080', 'user-agent': 'bench', accept: '*/*', ...context };
  request.push(null);
  request.complete = true;
  const response = new ServerResponse(request);
  response.assignSocket(wire);
  return new Promise((resolve, reject) => {
    response.on('finish', () => {
      response.detachSocket(wire);
      response.emit('close');
      if (response.statusCode === 200) resolve();
      else reject(new Error(`status ${response.statusCode}`));
    });
    server.emit('request', request, response);
  });
}
