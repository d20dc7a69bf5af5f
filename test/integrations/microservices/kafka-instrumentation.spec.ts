/** Runs with active module hooks. jest's module loader does not support them, so the services run in their own process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import ts from 'typescript';
import { kafka as broker } from '../../../sample/brokers/kafka.js';
import { type Found, specsWith } from '../../foreign/found.js';
import { Program } from '../../../sample/runner/program.js';
import { CACHE } from '../../foreign/toolchains.js';
import { TestKafka } from './kafka.js';

const missing = broker.missing();
const spec = specsWith(
  'specs of Kafka under instrumentation-kafkajs',
  (missing === undefined ? { thing: 'Kafka' } : { missing }) as Found<string>,
);

/** Nest injects by the metadata of decorators, which esbuild does not write. */
const withDecoratorMetadata: Plugin = {
  name: 'with-decorator-metadata',
  setup({ onLoad }) {
    const compilerOptions: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      useDefineForClassFields: false,
    };
    onLoad({ filter: /[.]ts$/ }, ({ path }) => ({
      contents: ts.transpileModule(readFileSync(path, 'utf8'), { compilerOptions, fileName: path }).outputText,
      loader: 'js',
    }));
  },
};

const OURS = 'nestjs-tracing';
const THEIRS = '@opentelemetry/instrumentation-kafkajs';

describe('messages over Kafka that instrumentation-kafkajs sees too', () => {
  spec(
    'have one span where they are sent, ours, and one where they are handled, theirs, which says who handles it',
    async () => {
      const running = await TestKafka.start();
      try {
        await running.topics(['orders.placed', 'orders.price', 'orders.quiet']);
        const settings = JSON.stringify({ server: running.options(), client: running.options() });
        const outfile = join(CACHE, 'kafka-instrumentation.fixture.mjs');
        await build({
          entryPoints: ['test/integrations/microservices/kafka-instrumentation.fixture.ts'],
          bundle: true,
          packages: 'external',
          platform: 'node',
          format: 'esm',
          outfile,
          keepNames: true,
          plugins: [withDecoratorMetadata],
        });
        const args = [outfile, settings];
        const { code, stdout, output } = await Program.run({ command: process.execPath, args }, 60_000);
        if (code !== 0) throw new Error(`exit code ${code}: ${output}`);
        const found = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
        expect(found['isPatched']).toBe(true);
        const sorted = (name: string) => [...(found[name] as unknown[])].map(row => JSON.stringify(row)).sort();
        const rows = (...expected: unknown[][]) => expected.map(row => JSON.stringify(row)).sort();
        const request = ['request', 'INTERNAL', OURS, null, null, null];
        const sending = (topic: string, error: string | null = null) => [`send ${topic}`, 'PRODUCER', OURS, 'request', null, error];
        const handling = (topic: string, method: string | null, error: string | null = null) => [
          `process ${topic}`,
          'CONSUMER',
          THEIRS,
          `send ${topic}`,
          method,
          error,
        ];
        expect(sorted('emitted')).toEqual(rows(request, sending('orders.placed'), handling('orders.placed', 'Orders.placed')));
        const both = handling('orders.placed', 'Orders.placed');
        expect(sorted('batch')).toEqual(rows(request, sending('orders.placed'), both, both));
        // The reply has only their spans.
        const reply = [
          ['send orders.price.reply', 'PRODUCER', THEIRS, 'process orders.price', null, null],
          ['process orders.price.reply', 'CONSUMER', THEIRS, 'send orders.price.reply', null, null],
        ];
        expect(sorted('answered')).toEqual(rows(request, sending('orders.price'), handling('orders.price', 'Orders.price'), ...reply));
        expect(found['failed']).toContainEqual(handling('orders.price', 'Orders.price', 'RangeError'));
        expect(sorted('quiet')).toEqual(rows(request, sending('orders.quiet'), handling('orders.quiet', null)));
      } finally {
        await running.stop();
      }
    },
    120_000,
  );
});
