/** The load generator: keep-alive connections that send the next request as soon as the answer is complete. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers';
import { answer, tell } from './parent.mjs';

const CONNECTIONS = 16;
const DISTINCT_REQUESTS = 512;
const HEAD_END = Buffer.from('\r\n\r\n');

let running;

class Connection {
  received = Buffer.alloc(0);
  /** Bytes of an answer; they are all alike, so the head is read only when the length is another one. */
  usual = 0;

  constructor(run, port, first) {
    this.run = run;
    this.next = first;
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => this.send());
    this.socket.on('data', chunk => this.take(chunk));
    this.socket.on('error', error => (run.problem ??= error.message));
    this.socket.on('close', () => run.closed());
  }

  send() {
    this.sentAt = performance.now();
    this.next = (this.next + 1) % DISTINCT_REQUESTS;
    this.socket.write(this.run.requests[this.next]);
  }

  take(chunk) {
    if (this.received.length > 0) chunk = Buffer.concat([this.received, chunk]);
    if (chunk.length !== this.usual && !this.isComplete(chunk)) {
      this.received = chunk;
      return;
    }
    if (this.received.length > 0) this.received = Buffer.alloc(0);
    this.run.latencies.push(performance.now() - this.sentAt);
    if (chunk[9] === 50) this.run.responses++;
    else this.run.problem ??= chunk.toString('latin1', 0, 200);
    if (this.run.isOver) this.socket.end();
    else this.send();
  }

  isComplete(chunk) {
    const end = chunk.indexOf(HEAD_END);
    if (end < 0) return false;
    const length = /content-length: (\d+)/i.exec(chunk.toString('latin1', 0, end));
    if (length === null) throw new Error('an answer without content-length');
    const expected = end + HEAD_END.length + Number(length[1]);
    if (chunk.length < expected) return false;
    this.usual = expected;
    return true;
  }
}

function start({ port, path, caller }) {
  let open = CONNECTIONS;
  const run = { responses: 0, latencies: [], problem: undefined, isOver: false, requests: requests(port, path, caller) };
  const ended = new Promise(resolve => (run.closed = () => --open === 0 && resolve()));
  for (let i = 0; i < CONNECTIONS; i++) new Connection(run, port, i * (DISTINCT_REQUESTS / CONNECTIONS));
  running = { run, ended };
  stayAwake(run);
  return {};
}

/** Waking a core that sleeps costs the server more than the write that wakes it, and the slower the server, the more often it would. */
function stayAwake(run) {
  if (!run.isOver) setImmediate(stayAwake, run);
}

async function stop() {
  const { run, ended } = running;
  run.isOver = true;
  await ended;
  const latencies = Float64Array.from(run.latencies).sort();
  return { responses: run.responses, problem: run.problem, p99Ms: latencies[Math.floor(latencies.length * 0.99)] };
}

/** Requests that differ in their ids; `caller` says what trace context they bring. */
function requests(port, path, caller) {
  return Array.from({ length: DISTINCT_REQUESTS }, (_, i) => {
    const ids = `${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}`;
    const traceparent = caller === 'none' ? '' : `traceparent: 00-${ids}-${caller === 'sampled' ? '01' : '00'}\r\n`;
    const headers = `host: 127.0.0.1:${port}\r\nuser-agent: bench\r\naccept: */*\r\n${traceparent}`;
    return Buffer.from(`GET ${path}/${1000 + i} HTTP/1.1\r\n${headers}\r\n`);
  });
}

answer({ start, stop });
tell({});
