/** A service with the viewer on, in a process of its own; told by messages what to do. Settings come as JSON. */
import { createRequire } from 'node:module';
import process from 'node:process';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { createPipeline } from '../../../lib/sdk/pipeline.js';
import type { TracingOptions } from '../../../lib/options/tracing-options.js';
import { resolveOptions } from '../../../lib/options/resolved-options.js';

interface Settings {
  readonly options: TracingOptions;
  /** Whether OpenTelemetry's instrumentation of node:http is there too. */
  readonly instrumented?: boolean;
  /** Makes one span, and then has nothing more to do. */
  readonly span?: string;
}

const { options, instrumented, span } = JSON.parse(process.argv[2] ?? '{}') as Settings;
if (instrumented) {
  new HttpInstrumentation().enable();
  createRequire(`${process.cwd()}/`)('http');
}
const ended: string[] = [];
const watching = {
  onStart: () => {},
  onEnd: (one: ReadableSpan) => void ended.push(one.name),
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};
const pipeline = await createPipeline(resolveOptions({ exporter: 'none', spanProcessors: [watching], ...options }));
const makeSpan = (name: string): void => pipeline.tracer.startSpan(name).end();
if (span !== undefined) makeSpan(span);
else {
  process.on('message', (message: { span?: string; stop?: true }) => {
    if (message.span !== undefined) makeSpan(message.span);
    if (message.stop) {
      void pipeline.shutdown().then(() => {
        process.send?.({ ended });
        process.disconnect();
      });
    }
  });
  process.send?.({ ready: true });
}
