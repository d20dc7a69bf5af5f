/** Checks the spans of the applications in shop.fixture.ts, without and with the official instrumentation of amqplib. */
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Broker } from '../../../sample/brokers/broker.js';
import { rabbitmq } from '../../../sample/brokers/rabbitmq.js';
import { Program } from '../../../sample/runner/program.js';
import { programOf } from '../../own-process.js';

interface PrintedSpan {
  /** The span names from the root to this span. */
  readonly line: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly scope: string;
  readonly isRoot: boolean;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  /** The names of the linked spans, or their ids if they are not recorded. */
  readonly links: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: { readonly code: SpanStatusCode; readonly message?: string };
  readonly exceptions: readonly unknown[];
}

interface Printed {
  readonly seen: unknown;
  /** The names of the connection's own properties after the application has closed. */
  readonly own: readonly string[];
  readonly spans: readonly PrintedSpan[];
}

const describeWithRabbitmq = choose();

function choose(): typeof describe {
  const missing = rabbitmq.missing();
  if (missing === undefined) return describe;
  process.stderr.write(`SKIPPED @golevelup/nestjs-rabbitmq: ${missing}\n`);
  return describe.skip; // The line above says what the machine lacks.
}

describeWithRabbitmq('@golevelup/nestjs-rabbitmq', () => {
  let broker: Broker;
  let program: string;
  let printed: Record<string, Printed>;

  const printedBy = async (mode: string): Promise<Record<string, Printed>> => {
    const args = [program, String(broker.port), mode];
    const { stdout, output } = await Program.run({ command: process.execPath, args }, 150_000);
    const line = stdout.trim().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) throw new Error(output);
    return JSON.parse(line) as Record<string, Printed>;
  };
  beforeAll(async () => {
    [broker, program] = await Promise.all([Broker.start(rabbitmq), programOf('test/integrations/golevelup-rabbitmq/shop.fixture.ts')]);
    printed = await printedBy('plain');
  }, 240_000);
  afterAll(() => broker?.stop());

  const scenario = (name: string): Printed => printed[name]!;
  const span = (name: string, start: string): PrintedSpan => scenario(name).spans.find(span => span.name.startsWith(start))!;
  const lines = ({ spans }: Printed): string[] => spans.map(({ line }) => line).sort();

  it('shows a message as one trace from the sender to the handler', () => {
    const publish = 'request > publish shop:orders.created';
    expect(lines(scenario('published'))).toEqual([
      'request',
      publish,
      `${publish} > consume shop:orders.*:billing`,
      `${publish} > consume shop:orders.*:billing > Handlers.store`,
    ]);
    const shared = {
      'messaging.system.name': 'rabbitmq',
      'messaging.message.id': 'm1',
      'messaging.client.id': 'the shop',
      'rabbitmq.destination.routing_key': 'orders.created',
      'server.address': '127.0.0.1',
      'server.port': broker.port,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': broker.port,
    };
    const sent = span('published', 'publish');
    expect(sent.kind).toBe(SpanKind.PRODUCER);
    expect(sent.attributes).toEqual({
      ...shared,
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'shop:orders.created',
    });
    const handled = span('published', 'consume');
    expect(handled.kind).toBe(SpanKind.CONSUMER);
    expect(handled.links).toEqual(['publish shop:orders.created']);
    expect(handled.attributes).toEqual({
      ...shared,
      'messaging.operation.name': 'consume',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'shop:orders.created:billing',
      'messaging.destination.template': 'shop:orders.*:billing',
      'messaging.destination.temporary': true,
      'rabbitmq.message.delivery_tag': 1,
      'code.function.name': 'Handlers.onOrder',
    });
  });

  it('shows a request from the call to the reply, and its handler as a server', () => {
    const request = 'request > request shop:price';
    expect(lines(scenario('requested'))).toEqual([
      'request',
      request,
      `${request} > consume shop:price:prices`,
      `${request} > consume shop:price:prices > Handlers.store`,
    ]);
    expect(scenario('requested').seen).toEqual({ answer: { id: 7, price: 7 } });
    expect(span('requested', 'request shop')).toMatchObject({
      kind: SpanKind.CLIENT,
      status: { code: SpanStatusCode.UNSET },
      attributes: { 'messaging.operation.name': 'request', 'messaging.message.conversation_id': 'c1' },
    });
    expect(span('requested', 'consume')).toMatchObject({
      kind: SpanKind.SERVER,
      attributes: { 'code.function.name': 'Handlers.price', 'messaging.message.conversation_id': 'c1' },
    });
  });

  it('fails a request that nobody answers in time', () => {
    const message = 'Failed to receive response within timeout of 50ms for exchange "shop" and routing key "nobody"';
    expect(scenario('request without an answer').seen).toEqual({ error: message });
    expect(span('request without an answer', 'request shop')).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message },
      attributes: { 'error.type': 'RpcTimeoutError' },
    });
  });

  it('sends a reply as it is', () => {
    expect(scenario('reply to another client').seen).toEqual({ content: '{"id":1,"price":7}', headers: { mine: 'kept' } });
    expect(lines(scenario('reply to another client'))).toEqual(['consume shop:price:prices', 'consume shop:price:prices > Handlers.store']);
  });

  it('leaves a trace context in the headers as it is, and links to it', () => {
    const headers = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, mine: 'kept' };
    expect(scenario('headers of the user').seen).toEqual({ content: 'raw', headers, given: { headers } });
    expect(span('headers of the user', 'publish').links).toEqual(['b'.repeat(16)]);
  });

  it('adds headers to a message and changes nothing else of it', () => {
    const [traced, plain] = [true, false].map(enabled => scenario(`wire ${enabled}`).seen as { properties: { headers: object } }[]);
    const own = ['traceparent', 'tracestate', 'b3'];
    const without = traced!.map(message => {
      const headers = Object.entries(message.properties.headers).filter(([name]) => !own.includes(name));
      return { ...message, properties: { ...message.properties, headers: Object.fromEntries(headers) } };
    });
    expect(without).toEqual(plain);
    expect(traced!.map(({ properties }) => Object.keys(properties.headers).includes('traceparent'))).toEqual([true, true]);
  });

  it('traces what is sent to a queue', () => {
    const publish = 'request > publish billing';
    expect(lines(scenario('sent to a queue'))).toEqual([
      'request',
      publish,
      `${publish} > consume billing`,
      `${publish} > consume billing > Handlers.store`,
    ]);
  });

  it.each([
    ['throws', { code: SpanStatusCode.ERROR, message: 'no such order' }, 'RangeError', ['no such order']],
    ['nack', { code: SpanStatusCode.ERROR }, 'Nack', []],
    ['requeue', { code: SpanStatusCode.UNSET }, undefined, []],
  ])('shows what becomes of a message whose handler %s', (fails, status, errorType, exceptions) => {
    const handled = scenario(`handler ${fails}`).spans.filter(({ name }) => name.startsWith('consume'));
    expect(handled).toHaveLength(fails === 'requeue' ? 2 : 1);
    for (const { status: seen, attributes, exceptions: thrown } of handled) {
      expect(seen).toMatchObject(status);
      expect(attributes['error.type']).toBe(errorType);
      expect(thrown).toEqual(exceptions);
    }
  });

  it('fails a message whose content cannot be read', () => {
    expect(scenario('content that cannot be read').seen).toEqual([]);
    expect(span('content that cannot be read', 'consume')).toMatchObject({
      line: 'request > publish shop:orders.bad > consume shop:orders.*:billing',
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'SyntaxError' },
    });
  });

  it('links a batch to each of its messages', () => {
    expect(scenario('batch').seen).toEqual(['many 3']);
    const batch = span('batch', 'consume');
    expect(batch).toMatchObject({ name: 'consume shop:many:batches', kind: SpanKind.CONSUMER, isRoot: true });
    expect(batch.links).toEqual(Array(3).fill('publish shop:many'));
    expect(batch.attributes).toMatchObject({ 'messaging.batch.message_count': 3, 'code.function.name': 'Handlers.onMany' });
    expect(batch.attributes['rabbitmq.message.delivery_tag']).toBeUndefined();
  });

  it('names a handler without a queue of its own by what it listens to', () => {
    const names = scenario('server-named queue').spans.flatMap(({ name }) => (name.startsWith('consume') ? [name] : []));
    expect(names).toEqual(['consume shop:b.*', 'consume shop:a.one']);
    expect(span('server-named queue', 'consume').attributes).toMatchObject({
      'messaging.destination.anonymous': true,
      'messaging.destination.temporary': true,
    });
  });

  it('begins a trace for each message where the options say so, and leaves requests whole', () => {
    const linked = span('linked', 'consume shop:orders');
    expect(linked).toMatchObject({ isRoot: true, links: ['publish shop:orders.created'] });
    expect(span('linked', 'consume shop:price').line).toBe('request > request shop:price > consume shop:price:prices');
  });

  it('begins a trace where the sender is not trusted', () => {
    expect(span('untrusted', 'consume')).toMatchObject({ isRoot: true, links: ['publish shop:orders.created'] });
  });

  it('leaves out what the options ignore, on either side', () => {
    expect(scenario('ignored').seen).toEqual([expect.stringContaining('traceparent'), expect.not.stringContaining('traceparent')]);
    expect(lines(scenario('ignored'))).toEqual([
      'consume shop:orders.*:billing',
      'consume shop:orders.*:billing > Handlers.store',
      'request',
      'request',
      'request > publish shop:orders.seen',
    ]);
  });

  it('makes no span for a handler with @NoSpan(), and passes the context of the sender on', () => {
    const publish = 'request > publish shop:quiet';
    expect(lines(scenario('not traced'))).toEqual([
      'request',
      publish,
      `${publish} > consume shop:orders.*:billing`,
      `${publish} > consume shop:orders.*:billing > Handlers.store`,
    ]);
  });

  it('passes the context of the sender on where tracing is disabled', () => {
    expect(scenario('disabled').spans).toEqual([]);
    expect(scenario('disabled').seen).toMatchObject({ traceparent: expect.stringContaining('a'.repeat(32)) as unknown });
  });

  it('traces a connection that is added to the manager', () => {
    expect(lines(scenario('added to the manager'))).toContain('request > publish by-hand > consume by-hand > Handlers.store');
  });

  it('leaves nothing on a connection when the application has closed', () => {
    const methods = ['request', 'createSubscriber', 'createRpc', 'createBatchSubscriber', 'wrapConsumer', 'deserializeMessage'];
    expect(scenario('published').own.filter(name => methods.includes(name))).toEqual([]);
  });

  it.each(['official-first', 'ours-first'])(
    'is one trace without a second span for anything beside instrumentation-amqplib (%s)',
    async mode => {
      const { instrumented } = await printedBy(mode);
      const counted = instrumented!.spans
        .map(({ line, scope }) => `${line} (${scope.replace('@opentelemetry/instrumentation-', '')})`)
        .sort();
      const theirs = (queue: string) => `${queue} process (amqplib)`;
      const ours = (name: string) => `${name} (nestjs-tracing)`;
      // If a consumer starts before the instrumentation is enabled, its messages have our spans.
      const isTheirs = mode === 'official-first';
      const handled = (sent: string, queue: string, name: string, isOfficial = isTheirs) => [
        ours('request'),
        ours(`request > ${sent}`),
        `request > ${sent} > ${isOfficial ? theirs(queue) : ours(name)}`,
        ours(`request > ${sent} > ${isOfficial ? `${queue} process` : name} > Handlers.store`),
      ];
      expect(counted).toEqual(
        [
          ...handled('publish shop:orders.created', 'billing', 'consume shop:orders.*:billing'),
          ...handled('publish shop:orders.bad', 'billing', 'consume shop:orders.*:billing'),
          ...handled('request shop:price', 'prices', 'consume shop:price:prices'),
          ...(isTheirs ? [`request > request shop:price > ${theirs('amq.rabbitmq.reply-to')}`] : []),
          // The connection was lost before, so all consumers are new.
          ...handled('publish shop:orders.late', 'billing', 'consume shop:orders.*:billing', true),
        ].sort(),
      );
      const failed = instrumented!.spans.find(({ exceptions }) => exceptions.length > 0)!;
      expect(failed).toMatchObject({
        status: { code: SpanStatusCode.ERROR },
        attributes: { 'error.type': 'RangeError', 'code.function.name': 'Handlers.onOrder', 'messaging.system.name': 'rabbitmq' },
      });
    },
    160_000,
  );
});
