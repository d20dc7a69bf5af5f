/** What the recorded exception says of whatever was thrown, and of what caused it. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import vm from 'node:vm';
import { BadRequestException, HttpException, InternalServerErrorException } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { WsException } from '@nestjs/websockets';
import axios from 'axios';
import { GraphQLError } from 'graphql';
import { Subscription } from 'rxjs';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from '../spans/application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

interface Recorded {
  readonly type: unknown;
  readonly message: unknown;
  readonly stack: string;
  readonly errorType: unknown;
  readonly status: string | undefined;
}

/** What a span says in which `thrown` was thrown. */
function recorded(thrown: unknown): Recorded {
  try {
    tracer.span('failing', () => {
      throw thrown;
    });
  } catch {
    // It is the span that counts.
  }
  const { attributes, events, status } = app.spans.at(-1)!;
  const { 'exception.type': type, 'exception.message': message, 'exception.stacktrace': stack } = events[0]!.attributes!;
  return { type, message, stack: String(stack ?? ''), errorType: attributes['error.type'], status: status.message };
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown,
  );

const untouched = (): never => {
  throw new Error('touched');
};

describe('an exception with causes', () => {
  it('has their stacks below its own, one after the other', () => {
    const cause = new TypeError('connection lost', { cause: new RangeError('socket closed') });
    const { message, stack, status } = recorded(new Error('order cannot be loaded', { cause }));
    expect([message, status]).toEqual(['order cannot be loaded', 'order cannot be loaded']);
    expect(stack.split('\n').filter(line => !line.startsWith('    at '))).toEqual([
      'Error: order cannot be loaded',
      'Caused by: TypeError: connection lost',
      'Caused by: RangeError: socket closed',
    ]);
    expect(stack.match(/exception\.spec/g)!.length).toBeGreaterThanOrEqual(3);
  });

  it.each<[string, unknown, string]>([
    ['a text', 'disk full', 'Caused by: disk full'],
    ['a number', 0, 'Caused by: 0'],
    ['data', { code: 'NonCoprime', values: [2, 4] }, 'Caused by: {"code":"NonCoprime","values":[2,4]}'],
    ['an object with a message', { message: 'row is locked', row: { password: 'x' } }, 'Caused by: Object: row is locked'],
    ['a method, as of VError', () => new Error('from a method'), 'Caused by: Error: from a method'],
    ['an error of another realm', vm.runInNewContext('new RangeError("elsewhere")'), 'Caused by: RangeError: elsewhere'],
  ])('says what %s as cause holds', (_, cause, line) => {
    const { stack } = recorded(new Error('outer', { cause }));
    expect(stack.split('\n')).toContain(line);
  });

  it('numbers the errors of an AggregateError, whose message they stand in for where it has none', async () => {
    const errors = [new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')];
    const { message, stack, type } = recorded(new AggregateError(errors));
    expect([type, message]).toEqual(['AggregateError', 'connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1']);
    expect(stack.split('\n').filter(line => !line.startsWith('    at '))).toEqual([
      expect.stringMatching(/^AggregateError:? ?$/),
      'Caused by (1 of 2): Error: connect ECONNREFUSED ::1:1',
      'Caused by (2 of 2): Error: connect ECONNREFUSED 127.0.0.1:1',
    ]);
    const any = recorded(await rejection(Promise.any(errors.map(error => Promise.reject(error)))));
    expect(any.message).toBe('All promises were rejected: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1');
    const subscription = new Subscription(() => {
      throw new Error('teardown broke');
    });
    const unsubscribing = recorded(await rejection(Promise.resolve().then(() => subscription.unsubscribe())));
    expect(unsubscribing.stack).toContain('Caused by (1 of 1): Error: teardown broke');
  });

  it('shows a stack once that both have', () => {
    const originalError = new Error('no such user');
    const { stack } = recorded(new GraphQLError('no such user', { originalError }));
    expect(stack.match(/exception\.spec/g)).toHaveLength(stack.split('Caused by')[0]!.match(/exception\.spec/g)!.length);
    expect(stack).toContain('Caused by: Error: no such user');
  });

  it('is bounded, whatever hangs on it', () => {
    const cyclic: Error = new Error('cyclic');
    cyclic.cause = new Error('inner', { cause: cyclic });
    expect(recorded(cyclic).stack.match(/Caused by/g)).toHaveLength(1);
    const self: Error = new Error('self');
    self.cause = self;
    expect(recorded(self).stack).not.toContain('Caused by');

    // Few frames, as the paths in them may be long: the causes end before the limit of the whole stack is reached.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 2;
    let deep = new Error('deepest');
    for (let depth = 0; depth < 10_000; depth++) deep = new Error(`level ${depth}`, { cause: deep });
    Error.stackTraceLimit = stackTraceLimit;
    const { stack } = recorded(deep);
    expect(stack).toContain('Caused by: Error: level 9998');
    expect(stack).toMatch(/\nCaused by: …$/);
    expect(stack.length).toBeLessThanOrEqual(16_385);

    const wide = recorded(new AggregateError(Array.from({ length: 10_000 }, (_, index) => new Error(`no. ${index}`))));
    expect(wide.stack).toContain('Caused by (1 of 10000): Error: no. 0');
    expect(wide.stack.length).toBeLessThanOrEqual(16_385);

    const huge = recorded(new Error('x'.repeat(1_000_000), { cause: new Error('y'.repeat(1_000_000), { cause: new Error('the root') }) }));
    expect([String(huge.message).length, huge.status!.length]).toEqual([4097, 4097]);
    expect(huge.stack).toContain('exception.spec');
    expect(huge.stack).toContain('Caused by: Error: the root');
    expect(huge.stack.length).toBeLessThanOrEqual(16_385);
  });

  it('is read as far as it lets itself be read', () => {
    const hostile = new Error('hostile');
    // Put together when it is first read.
    expect(hostile.stack).toBeDefined();
    for (const key of ['cause', 'errors', 'code', 'name', 'originalError']) {
      Object.defineProperty(hostile, key, { get: untouched });
    }
    expect(recorded(hostile)).toMatchObject({ message: 'hostile', stack: expect.stringContaining('exception.spec') });
    expect(recorded(Object.freeze(new Error('frozen', { cause: Object.freeze(new Error('inner')) }))).stack).toContain('Error: inner');
    const untouchable = new Proxy({}, { get: untouched, has: untouched, ownKeys: untouched, getPrototypeOf: untouched });
    expect(recorded(new Error('outer', { cause: untouchable })).stack).toContain('Caused by: unprintable');
    const { proxy, revoke } = Proxy.revocable([], {});
    revoke();
    expect(recorded(Object.assign(new Error('revoked'), { errors: proxy })).message).toBe('revoked');
    expect(recorded(untouchable)).toMatchObject({ message: 'unprintable', errorType: '_OTHER' });
    expect(recorded(new Proxy(new Error('behind a proxy'), {})).message).toBe('behind a proxy');
  });
});

describe('an exception of Nest', () => {
  it.each<[string, unknown, string]>([
    ['a list of messages and a code', new BadRequestException({ message: ['a', 'b'], code: 'X' }), '{"message":["a","b"],"code":"X"}'],
    ['a code alone', new HttpException({ code: 7 }, 400), '{"code":7}'],
    ['the object of the documentation', new HttpException({ status: 403, error: 'mine' }, 403), '{"status":403,"error":"mine"}'],
    ['nested data', new HttpException({ error: { reason: 'quota', left: 0 } }, 429), '{"error":{"reason":"quota","left":0}}'],
    ['a list', new BadRequestException(['name is empty', 'age is negative']), 'name is empty, age is negative'],
    ['an object over RPC', new RpcException({ code: 5, details: 'not found' }), '{"code":5,"details":"not found"}'],
    ['an object over a socket', new WsException({ reason: 'closed' }), '{"reason":"closed"}'],
  ])('made of %s says what it answers with', (_, thrown, text) => {
    const { message, status, stack } = recorded(thrown);
    expect(message).toMatch(new RegExp(`^(Bad Request|Http|Rpc|Ws) Exception: `));
    expect(String(message).endsWith(text)).toBe(true);
    expect(status).toBe(message);
    expect(stack).not.toContain('Caused by');
  });

  it('made of a text, or of an object with one as message, says that', () => {
    expect(recorded(new BadRequestException('no')).message).toBe('no');
    expect(recorded(new HttpException({ message: 'no', code: 7 }, 400)).message).toBe('no');
    expect(recorded(new RpcException({ message: 'no', code: 7 })).message).toBe('no');
  });

  it('made of an error has that as its cause', () => {
    const { message, stack } = recorded(new InternalServerErrorException(new TypeError('undefined is not a user')));
    expect(message).toBe('undefined is not a user');
    expect(stack).toContain('Caused by: TypeError: undefined is not a user\n');
    expect(recorded(new RpcException(new RangeError('out of it'))).stack).toContain('Caused by: RangeError: out of it\n');
    const caused = new BadRequestException('refused', { cause: new Error('the reason') });
    expect(recorded(caused).stack).toContain('Caused by: Error: the reason\n');
  });

  it('says of a validation what is wrong and not what was sent', () => {
    class Login {
      password = '';
    }
    const fault = { property: 'password', value: 'hunter2', target: { password: 'hunter2' }, constraints: { isStrong: 'too weak' } };
    // As an exceptionFactory of a ValidationPipe makes it.
    const made = recorded(new BadRequestException([fault]));
    expect(made.message).toContain('too weak');
    const custom = recorded(new BadRequestException({ errors: [fault], token: 'abc', login: new Login() }));
    expect(custom.message).toContain('"isStrong":"too weak"');
    expect(`${String(made.message)}${String(custom.message)}`).not.toContain('hunter2');
    expect(custom.message).toContain('"token":"REDACTED","login":"[Login]"');
  });
});

describe('something thrown that is no error', () => {
  it.each<[unknown, string]>([
    [{ code: 5, details: 'not found' }, '{"code":5,"details":"not found"}'],
    [{ message: ['a', 'b'] }, '["a","b"]'],
    [{ status: 401, config: { headers: { authorization: 'Bearer x' } }, headers: { cookie: 'y' } }, '{"status":401}'],
    [{ at: new Date(0), big: 1n, deep: { deep: [1, [2]] } }, '{"at":"1970-01-01T00:00:00.000Z","big":"1","deep":{"deep":[1,[2]]}}'],
    [['a', 1], '["a",1]'],
    [Symbol('s'), 'Symbol(s)'],
  ])('is described: %p', (thrown, text) => {
    expect(recorded(thrown)).toMatchObject({ message: text, status: text });
  });

  it('is described in bounds', () => {
    const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, 'v'.repeat(10_000)]));
    expect(String(recorded({ wide, again: wide }).message).length).toBeLessThanOrEqual(4097);
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    expect(recorded(cyclic).message).toBe('{"self":{"self":{"self":{"self":{"self":"…"}}}}}');
  });
});

describe('a call that failed', () => {
  it('by fetch says why, by its code too', async () => {
    const server = http.createServer(request => request.socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(recorded(await rejection(fetch(`http://${host}/`)))).toMatchObject({
      message: 'fetch failed: other side closed',
      errorType: 'UND_ERR_SOCKET',
    });
    server.close();
    await once(server, 'close');
    const refused = recorded(await rejection(fetch(`http://${host}/`)));
    expect(refused).toMatchObject({
      type: 'TypeError',
      message: `fetch failed: connect ECONNREFUSED ${host}`,
      status: `fetch failed: connect ECONNREFUSED ${host}`,
      errorType: 'ECONNREFUSED',
    });
    expect(refused.stack).toContain(`Caused by: Error: connect ECONNREFUSED ${host}`);
    // Without a code the class stays.
    expect(recorded(await rejection(fetch('gopher://x/')))).toMatchObject({
      message: expect.stringMatching(/scheme/),
      errorType: 'TypeError',
    });
  });

  it('by axios says why, and nothing of what was sent', async () => {
    const config = { headers: { authorization: 'Bearer hunter2' }, data: { password: 'hunter2' } };
    const thrown = await rejection(axios.post('http://127.0.0.1:1/', config.data, { headers: config.headers }));
    const { errorType, message, stack } = recorded(thrown);
    expect([errorType, message]).toEqual(['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1']);
    expect(stack).toContain('Caused by: Error: connect ECONNREFUSED 127.0.0.1:1');
    expect(JSON.stringify([app.spans.map(({ attributes, events }) => [attributes, events])])).not.toContain('hunter2');
  });
});
