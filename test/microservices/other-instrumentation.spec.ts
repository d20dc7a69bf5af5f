import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { SpanStatusCode } from '@opentelemetry/api';
import { specsWith } from '../foreign/found.js';
import { brokerOf, rabbitmq, redis, type TestTransport } from './transports.js';

const run = promisify(execFile);

/** A span as the application prints it; `line` has the names from its root down to it. */
interface PrintedSpan {
  readonly line: string;
  readonly scope: string;
  readonly status: { readonly code: SpanStatusCode };
  readonly attributes: Readonly<Record<string, unknown>>;
}

let folder: string;
/** The library as CommonJS: the instrumentations patch what is required. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'instrumented-'));
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  await run(process.execPath, [compiler, '-p', 'tsconfig.cjs.json', '--noCheck', '--declaration', 'false', '--outDir', folder]);
  writeFileSync(join(folder, 'package.json'), '{"type":"commonjs"}');
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function spansOf(transport: TestTransport, mode = 'by-broker'): Promise<readonly PrintedSpan[]> {
  const { port } = await brokerOf(transport);
  const application = resolve('test/microservices/instrumented/application.cjs');
  const { stdout } = await run(process.execPath, [application, folder, transport.system, String(port), mode]);
  const { answers, spans } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { answers: unknown[]; spans: PrintedSpan[] };
  expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => ({ i })));
  return spans;
}

/** Each line, who made its span, and how often. */
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

  /** A message is sent in our span and handled in theirs; the way back is theirs. */
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
});
