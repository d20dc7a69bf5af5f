import { SpanStatusCode } from '@opentelemetry/api';
import { specsWith } from '../../foreign/found.js';
import { CompiledLibrary } from '../compiled-library.js';
import { brokerOf, rabbitmq, redis, type TestTransport } from './transports.js';

/** A span as the application prints it. `line` has the span names from the root to this span. */
interface PrintedSpan {
  readonly line: string;
  readonly scope: string;
  readonly status: { readonly code: SpanStatusCode };
  readonly attributes: Readonly<Record<string, unknown>>;
}

let library: CompiledLibrary;
beforeAll(async () => {
  library = await CompiledLibrary.compile();
}, 120_000);
afterAll(() => library?.remove());

interface Printed {
  readonly answers?: unknown[];
  readonly spans: readonly PrintedSpan[];
}

async function printedBy(program: string, transport: TestTransport, mode: string): Promise<Printed> {
  const { port } = await brokerOf(transport);
  return (await library.printedBy(`microservices/instrumented/${program}`, transport.system, port, mode)) as Printed;
}

async function spansOf(transport: TestTransport, mode = 'by-broker'): Promise<readonly PrintedSpan[]> {
  const { answers, spans } = await printedBy('application.cjs', transport, mode);
  expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => ({ i })));
  return spans;
}

/** Counts the spans by line and scope. */
function counted(spans: readonly PrintedSpan[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { line, scope } of spans) {
    const key = `${line} (${scope.replace('@opentelemetry/instrumentation-', '')})`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

function over(transport: TestTransport) {
  const missing = transport.broker?.missing();
  return specsWith(`other instrumentations over ${transport.name}`, missing === undefined ? { thing: transport } : { missing });
}

const ours = '(nestjs-tracing)';

describe('together with instrumentation-ioredis', () => {
  over(redis)(
    'the commands of a client proxy are part of its span, and those of a handler are children of the message',
    async transport => {
      expect(counted(await spansOf(transport))).toEqual({
        [`asking ${ours}`]: 20,
        [`asking > publish echo ${ours}`]: 20,
        [`asking > publish echo > process echo ${ours}`]: 20,
        [`asking > publish echo > process echo > inner ${ours}`]: 20,
        'asking > publish echo > process echo > inner > get (ioredis)': 20,
        [`telling ${ours}`]: 1,
        [`telling > publish told ${ours}`]: 1,
        [`telling > publish told > process told ${ours}`]: 1,
        [`telling > publish told > process told > inner ${ours}`]: 1,
      });
    },
    60_000,
  );
});

describe('together with instrumentation-amqplib', () => {
  const spec = over(rabbitmq);

  /** Our span sends the message, their span handles it. The reply has only their spans. */
  const expected = (queue: string) => ({
    [`asking ${ours}`]: 20,
    [`asking > publish echo ${ours}`]: 20,
    [`asking > publish echo > ${queue} process (amqplib)`]: 20,
    [`asking > publish echo > ${queue} process > inner ${ours}`]: 20,
    [`asking > publish echo > ${queue} process > publish <default> (amqplib)`]: 20,
    [`asking > publish echo > ${queue} process > publish <default> > amq.rabbitmq.reply-to process (amqplib)`]: 20,
    [`telling ${ours}`]: 1,
    [`telling > publish told ${ours}`]: 1,
    [`telling > publish told > ${queue} process (amqplib)`]: 1,
    [`telling > publish told > ${queue} process > inner ${ours}`]: 1,
  });

  spec(
    'a message that is acknowledged by hand has one span on either side, and the one of its handling says what came of it',
    async transport => {
      const spans = await spansOf(transport, 'by-hand');
      expect(counted(spans)).toEqual(expected('queue-by-hand'));
      const handling = spans.find(({ line }) => line === 'telling > publish told > queue-by-hand process')!;
      expect(handling.status.code).toBe(SpanStatusCode.ERROR);
      expect(handling.attributes).toMatchObject({
        'code.function.name': 'Handlers.told',
        'error.type': 'RangeError',
        'messaging.system.name': 'rabbitmq',
        'messaging.destination.template': 'told',
      });
    },
    120_000,
  );

  spec(
    'a message that the broker takes as acknowledged has one span on either side',
    async transport => {
      expect(counted(await spansOf(transport))).toEqual(expected('queue-by-broker'));
    },
    120_000,
  );

  spec(
    'a message that another library consumes is one trace with what Nest runs for it, acknowledged by hand or not',
    async transport => {
      const { spans } = await printedBy('consumer.cjs', transport, 'instrumented');
      const queue = (name: string): string => `telling > publish <default> > instrumented-${name} process`;
      expect(counted(spans)).toEqual({
        [`telling ${ours}`]: 4,
        'telling > publish <default> (amqplib)': 4,
        ...Object.fromEntries(
          ['onA', 'quiet'].flatMap(name => ['by-hand', 'by-broker'].map(how => [`${queue(`${name}-${how}`)} (amqplib)`, 1])),
        ),
        ...Object.fromEntries(
          ['by-hand', 'by-broker'].flatMap(how => [
            [`${queue(`onA-${how}`)} > Subs.onA ${ours}`, 1],
            [`${queue(`onA-${how}`)} > Subs.onA > work ${ours}`, 1],
            [`${queue(`quiet-${how}`)} > work ${ours}`, 1],
          ]),
        ),
      });
    },
    120_000,
  );

  spec(
    'without it what Nest runs for another library is a trace of its own',
    async transport => {
      const { spans } = await printedBy('consumer.cjs', transport, 'plain');
      expect(counted(spans)).toEqual({ [`telling ${ours}`]: 4, [`Subs.onA ${ours}`]: 2, [`Subs.onA > work ${ours}`]: 2 });
    },
    120_000,
  );
});
