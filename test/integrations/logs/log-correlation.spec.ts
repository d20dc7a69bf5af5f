/** Specs of trace and span ids in the lines of Nest's ConsoleLogger. */
import { ConsoleLogger, type ConsoleLoggerOptions, Logger } from '@nestjs/common';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { jest } from '@jest/globals';
import { Tracer } from '../../../lib/api/tracer.js';
import { withWork } from '../../../lib/spans/work.js';
import { installLogCorrelation } from '../../../lib/integrations/logs/log-correlation.js';
import { refusedSpan, rootContextOf, TestApplication } from '../../application.js';

const app = new TestApplication({ logs: true });
const silent = new TestApplication();
const tracer = new Tracer(app);
let undo: () => void;
const lines: string[] = [];
const note = (text: unknown): boolean => lines.push(String(text)) > 0;
jest.spyOn(process.stdout, 'write').mockImplementation(note);
jest.spyOn(process.stderr, 'write').mockImplementation(note);

beforeEach(() => (undo = installLogCorrelation(app)));
afterEach(() => {
  undo();
  Logger.overrideLogger(new ConsoleLogger());
  app.reset();
  lines.length = 0;
});
afterAll(async () => {
  await silent.close();
  await app.close();
});

const { getJsonLogObject, formatContext } = ConsoleLogger.prototype as unknown as Record<string, unknown>;

interface Printed {
  readonly outside: string;
  readonly inside: string;
}

/** Returns the output of a call outside and inside a span. Words replace the ids, and the time is removed. */
function printed(call: (logger: ConsoleLogger) => void, options: ConsoleLoggerOptions = {}): Printed {
  const logger = new ConsoleLogger({ colors: false, ...options });
  const collect = (): string => {
    const text = lines.splice(0).join('');
    return text.replace(/"timestamp":\d+/g, '"timestamp":0').replace(/\d\d\/\d\d\/\d{4}, [\d:]+ [AP]M/g, 'time');
  };
  call(logger);
  const outside = collect();
  const ids = tracer.span('inside', span => {
    call(logger);
    return span.spanContext();
  });
  return { outside, inside: collect().replaceAll(ids.traceId, 'TRACE').replaceAll(ids.spanId, 'SPAN') };
}

const calls: [string, (logger: ConsoleLogger) => void][] = [
  ['a text', logger => logger.log('text')],
  ['a text with context', logger => logger.warn('text', 'Orders')],
  ['an object', logger => logger.log({ a: { b: [1, 2] } }, 'Orders')],
  ['an array', logger => logger.debug([1, { a: 2 }])],
  ['a text and an object', logger => logger.log('text', { a: 1 }, 'Orders')],
  ['a function', logger => logger.verbose(() => 'lazy')],
  ['a class', logger => logger.log(TestApplication)],
  ['undefined', logger => logger.log(undefined)],
  ['an error', logger => logger.error(Object.assign(new Error('boom'), { stack: 'Error: boom\n    at here.js:1:1' }), 'Orders')],
  ['an error and its stack', logger => logger.error('boom', 'Error: boom\n    at here.js:1:1', 'Orders')],
  ['several messages', logger => logger.fatal('one', 'two', 'Orders')],
];

describe.each<[string, ConsoleLoggerOptions]>([
  ['as text', {}],
  ['as text in colours', { colors: true }],
])('ConsoleLogger %s', (_, options) => {
  it.each(calls)('carries the ids in front of %s and leaves the rest alone', (_name, call) => {
    const { outside, inside } = printed(call, options);
    expect(outside).not.toContain('trace_id');
    expect(inside).toContain('trace_id=TRACE span_id=SPAN ');
    expect(inside.replaceAll('trace_id=TRACE span_id=SPAN ', '')).toBe(outside);
  });
});

describe('ConsoleLogger as JSON', () => {
  it.each(calls)('carries the ids beside %s and leaves the rest alone', (_, call) => {
    const { outside, inside } = printed(call, { json: true });
    const parse = (text: string): Record<string, unknown>[] =>
      text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as Record<string, unknown>);
    expect(parse(inside)).toEqual(parse(outside).map(line => ({ ...line, trace_id: 'TRACE', span_id: 'SPAN' })));
    expect(outside).not.toContain('trace_id');
  });

  it('keeps a parameter of the same name', () => {
    const { inside } = printed(logger => logger.log('text', { trace_id: 'mine' }), { json: true, flattenParams: true });
    // Nest 11 has no `flattenParams` and prints the object in its own line.
    const [line, second] = inside.trim().split('\n');
    expect(JSON.parse(line!)).toMatchObject({ trace_id: second === undefined ? 'mine' : 'TRACE', span_id: 'SPAN' });
  });

  it('carries the ids when it prints objects over several lines', () => {
    const { inside } = printed(logger => logger.log({ a: 1 }), { json: true, compact: false });
    expect(inside).toContain("trace_id: 'TRACE'");
  });
});

describe('every logger that builds on ConsoleLogger', () => {
  it('carries the ids: the static Logger, its instances, and subclasses', () => {
    class Loud extends ConsoleLogger {
      protected override formatMessage(...args: Parameters<ConsoleLogger['formatMessage']>): string {
        return `${args[4]}${String(args[1]).toUpperCase()}\n`;
      }
    }
    tracer.span('inside', () => {
      Logger.log('static');
      new Logger('Orders').log('instance');
      new Loud().log('loud');
    });
    const { traceId, spanId } = app.span('inside').spanContext();
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toContain(`trace_id=${traceId} span_id=${spanId} `);
    expect(lines[2]).toBe(`trace_id=${traceId} span_id=${spanId} LOUD\n`);
  });

  it('carries the ids of a trace that is not sampled, so that its lines are still found together', () => {
    const unsampled = new TestApplication({ logs: true, unsampledSpan: () => refusedSpan() });
    context.with(rootContextOf(unsampled), () => new Tracer(unsampled).span('inside', () => Logger.log('text')));
    expect(lines[0]).toContain(`trace_id=${'1'.repeat(32)} span_id=${'2'.repeat(16)} `);
    return unsampled.close();
  });
});

describe('logs of several applications', () => {
  it('are extended only inside spans of one that wants it', () => {
    new Tracer(silent).span('silent', () => Logger.log('text'));
    context.with(withWork(ROOT_CONTEXT, { application: app, passthrough: ROOT_CONTEXT }), () => Logger.log('text'));
    expect(lines.join('')).not.toContain('trace_id');
    tracer.span('wanted', () => Logger.log('text'));
    expect(lines.join('')).toContain('trace_id');
    installLogCorrelation(silent)();
    expect((ConsoleLogger.prototype as unknown as Record<string, unknown>)['formatContext']).not.toBe(formatContext);
  });

  it('are restored with the last one to leave', () => {
    const second = installLogCorrelation(app);
    second();
    second();
    tracer.span('inside', () => Logger.log('text'));
    expect(lines.splice(0).join('')).toContain('trace_id');
    undo();
    tracer.span('inside', () => Logger.log('text'));
    expect(lines.join('')).not.toContain('trace_id');
    const prototype = ConsoleLogger.prototype as unknown as Record<string, unknown>;
    expect([prototype['getJsonLogObject'], prototype['formatContext']]).toEqual([getJsonLogObject, formatContext]);
  });

  it('are left as they are where somebody has wrapped the logger meanwhile, and never carry the ids twice', () => {
    const prototype = ConsoleLogger.prototype as unknown as Record<string, (this: unknown, ...args: unknown[]) => unknown>;
    const ours = prototype['formatContext']!;
    const theirs = function (this: unknown, ...args: unknown[]): unknown {
      return `<${String(ours.apply(this, args))}>`;
    };
    prototype['formatContext'] = theirs;
    undo();
    expect(prototype['formatContext']).toBe(theirs);
    tracer.span('inside', () => Logger.log('text'));
    expect(lines.splice(0).join('')).not.toContain('trace_id');
    undo = installLogCorrelation(app);
    tracer.span('inside', () => Logger.log('text'));
    expect(lines.join('').match(/trace_id/g)).toHaveLength(1);
    prototype['formatContext'] = ours;
  });
});
