/** Specs of nest-commander. It requires Nest and ends the process, so the programs run in their own processes. */
import { basename } from 'node:path';
import { Collector } from '../../sdk/collector.js';
import { Program } from '../../../sample/runner/program.js';
import { programOf } from '../../own-process.js';

const INTERNAL = 1;
const ERROR = 2;

let program: string;
let collector: Collector;
beforeAll(async () => {
  program = await programOf('test/integrations/command/program.fixture.ts');
});
beforeEach(async () => {
  collector = await Collector.start();
});
afterEach(() => collector.stop());

async function run(...args: string[]) {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  const outcome = await Program.run({ command: process.execPath, args: [program, ...args], env }, 60_000);
  const spans = collector.spans;
  const hops = spans.map(({ name, parentSpanId }) => `${spans.find(({ spanId }) => spanId === parentSpanId)?.name ?? '-'} > ${name}`);
  return { ...outcome, spans, hops: hops.sort(), span: (name: string) => spans.find(span => span.name === name)! };
}

describe('a command of nest-commander', () => {
  it('is one root span, and what it does is inside', async () => {
    const { hops, span, stdout, code } = await run('greet', 'ada');
    expect(hops).toEqual(['- > greet', 'greet > Greeter.do']);
    expect(span('greet')).toMatchObject({ kind: INTERNAL, parentSpanId: '', status: 0 });
    expect(span('greet').attributes).toMatchObject({
      'process.executable.name': basename(process.execPath),
      'process.executable.path': process.execPath,
      'process.exit.code': 0,
      'code.function.name': 'Greet.run',
    });
    expect(stdout).toBe('[["ada"],{}]\n');
    expect(code).toBe(0);
  });

  it('that fails fails its span, which is delivered although the process ends at once', async () => {
    const { hops, span, output, code } = await run('greet', 'nobody');
    expect(hops).toEqual(['- > greet', 'greet > Greeter.do']);
    expect(span('greet').status).toBe(ERROR);
    expect(span('greet').attributes['error.type']).toBe('RangeError');
    expect(output).toContain('there is nobody');
    expect(code).toBe(1);
  });

  it('that returns a query has it run in its span, which fails where the query does', async () => {
    const { hops, span, code } = await run('query');
    expect(hops).toEqual(['- > query', 'query > Greeter.do']);
    expect(span('query')).toMatchObject({ status: ERROR });
    expect(span('query').attributes['error.type']).toBe('RangeError');
    expect(code).toBe(1);
  });

  it('that wants the process to end with a code has failed', async () => {
    const { span, code } = await run('greet', 'code');
    expect(span('greet')).toMatchObject({ status: ERROR });
    expect(span('greet').attributes).toMatchObject({ 'process.exit.code': 3, 'error.type': '3' });
    expect(code).toBe(3);
  });

  it('below another is called by what is typed to reach it', async () => {
    expect((await run('migrate', 'up')).hops).toEqual(['- > migrate up', 'migrate up > Greeter.do']);
  });

  it('that is reached without a name is called by its class', async () => {
    const { hops, span } = await run('root');
    expect(hops).toEqual(['- > WithoutName', 'WithoutName > Greeter.do']);
    expect(span('WithoutName').attributes).toMatchObject({ 'process.exit.code': 0 });
  });

  it('that wants no span makes none, and neither does what it calls', async () => {
    const { spans, stdout } = await run('hush');
    expect(spans).toEqual([]);
    expect(stdout).toBe('["hush"]\n');
  });

  it('that the options ignore makes no span, and neither does what it calls', async () => {
    const { spans, stdout } = await run('migrate', 'down');
    expect(spans).toEqual([]);
    expect(stdout).toBe('["down"]\n');
  });
});

describe('a program that is an application context', () => {
  it('has its root span by the tracer, delivered when the application is closed', async () => {
    expect((await run('context')).hops).toEqual(['- > import', 'import > Greeter.do']);
  });

  it('has its root span fail with what the program throws', async () => {
    const { hops, span, code } = await run('context', 'badly');
    expect(hops).toEqual(['- > import', 'import > Greeter.do']);
    expect(span('import').status).toBe(ERROR);
    expect(span('import').attributes['error.type']).toBe('RangeError');
    expect(code).toBe(1);
  });
});
