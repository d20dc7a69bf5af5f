/** The matchers a user registers with `expect.extend(traceMatchers)`, here in jest. */
import { SpanKind } from '@opentelemetry/api';
import { expect } from '@jest/globals';
import { TraceRecorder, traceMatchers, type TraceMatchers } from '../../lib/testing/index.js';
import { finishedSpan } from '../viewer/finished-span.js';

declare module 'expect' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface Matchers<R> extends TraceMatchers<R> {}
}

expect.extend(traceMatchers);

const time: [number, number] = [1_790_000_000, 0];

function recorded(): TraceRecorder {
  const recorder = new TraceRecorder();
  recorder.export([
    finishedSpan({ id: '2', name: 'OrdersService.load', parent: '1', events: [{ name: 'Finished work', time }], error: 'boom' }),
    finishedSpan({
      id: '1',
      name: 'GET /orders/:id',
      kind: SpanKind.SERVER,
      attributes: { 'http.response.status_code': 500, tags: ['a', 'b'] },
    }),
  ]);
  return recorder;
}

const failure = (assertion: () => void): string => {
  try {
    assertion();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the assertion holds');
};

describe('expect(recorder).toHaveSpan()', () => {
  it('holds for a span of that name, whatever else it is', () => {
    expect(recorded()).toHaveSpan('GET /orders/:id');
    expect(recorded()).not.toHaveSpan('GET');
  });

  it('holds when kind, status, attributes, events and parent are as expected', () => {
    expect(recorded()).toHaveSpan('GET /orders/:id', {
      kind: 'server',
      status: 'unset',
      parent: null,
      attributes: { 'http.response.status_code': expect.any(Number), tags: ['a', 'b'] },
    });
    expect(recorded()).toHaveSpan('OrdersService.load', {
      kind: 'internal',
      status: 'error',
      parent: 'GET /orders/:id',
      events: ['Finished work'],
    });
  });

  it.each([
    ['GET /orders/:id', { kind: 'client' }, 'kind is "server", expected "client"'],
    ['GET /orders/:id', { status: 'error' }, 'status is "unset", expected "error"'],
    ['GET /orders/:id', { parent: 'x' }, 'parent is null, expected "x"'],
    ['OrdersService.load', { parent: null }, 'parent is "GET /orders/:id", expected null'],
    ['OrdersService.load', { events: ['other'] }, 'there is no event "other"'],
    ['GET /orders/:id', { attributes: { 'http.response.status_code': 200 } }, 'http.response.status_code is 500, expected 200'],
    ['GET /orders/:id', { attributes: { missing: expect.any(String) } }, 'missing is undefined, expected Any<String>'],
    ['GET /users/:id', {}, 'there is none'],
  ] as const)('says what is different and prints the tree: %s %j', (name, expected, message) => {
    const text = failure(() => expect(recorded()).toHaveSpan(name, expected));
    expect(text).toContain(message);
    expect(text).toContain('GET /orders/:id (server)\n  OrdersService.load error');
  });

  it('prints the tree also when there is a span that should not be', () => {
    expect(failure(() => expect(recorded()).not.toHaveSpan('OrdersService.load'))).toContain('GET /orders/:id (server)\n');
  });

  it('takes an array of finished spans, and refuses what is neither that nor a recorder', () => {
    expect([...recorded().spans]).toHaveSpan('OrdersService.load', { parent: 'GET /orders/:id' });
    expect(failure(() => expect(7).toHaveSpan('x'))).toContain('expected a TraceRecorder');
  });
});

describe('expect(recorder).toHaveTree()', () => {
  it('compares the whole tree and does not mind how the text is indented', () => {
    expect(recorded()).toHaveTree(`
      GET /orders/:id (server)
        OrdersService.load error
    `);
    expect(recorded()).not.toHaveTree('GET /orders/:id (server)');
  });

  it('shows both trees when they differ', () => {
    const text = failure(() => expect(recorded()).toHaveTree('  GET /orders (server)'));
    expect(text).toContain('\n\nGET /orders (server)\n\n');
    expect(text).toContain('GET /orders/:id (server)\n  OrdersService.load error');
  });

  it('compares the attributes asked for', () => {
    expect(recorded()).toHaveTree(
      `GET /orders/:id (server) http.response.status_code=500
         OrdersService.load error`.replace(/\n +/, '\n  '),
      { attributes: ['http.response.status_code'] },
    );
  });
});
