import { Program } from '../../../sample/runner/program.js';
import { programOf } from '../../own-process.js';

interface Printed {
  readonly name: string;
  readonly scope: { readonly name: string };
  readonly events: unknown[];
  readonly links: unknown[];
  readonly dropped: readonly [attributes: number, events: number, links: number];
  readonly parent?: readonly unknown[];
  readonly below: readonly Printed[];
}

let program: string;
beforeAll(async () => {
  program = await programOf('test/sdk/span/instrumented.fixture.ts');
}, 60_000);

async function spansOn(provider: 'sdk' | 'ours', env: Record<string, string>): Promise<string> {
  const { output, stdout } = await Program.run({ command: process.execPath, args: [program, provider], env }, 60_000);
  if (stdout === '') throw new Error(output);
  return stdout;
}

const flat = (spans: readonly Printed[]): Printed[] => spans.flatMap(span => [span, ...flat(span.below)]);
const parsed = (text: string) => JSON.parse(text) as Printed[];

const LIBRARIES = ['aws-sdk', 'graphql', 'grpc', 'http', 'knex', 'socket.io', 'undici'];

describe('Spans of official instrumentations', () => {
  it('are the same on our provider as on that of the SDK', async () => {
    const [sdk, ours] = [await spansOn('sdk', {}), await spansOn('ours', {})];
    // Exceptions of our spans have no values of a statement that failed.
    const withoutValues = sdk
      .replace('"exception.message","near \\"nothing\\":', '"exception.message","near ?:')
      .replace('SELECT nothing FROM nowhere - near \\"nothing\\":', 'near ?:');
    expect(withoutValues).not.toBe(sdk);
    expect(parsed(ours)).toEqual(parsed(withoutValues));
    const spans = flat(parsed(ours));
    const scopes = new Set(spans.map(({ scope }) => scope.name));
    expect([...scopes].sort()).toEqual([...LIBRARIES.map(name => `@opentelemetry/instrumentation-${name}`), 'scenario']);
    expect(spans.filter(({ events }) => events.length > 0).length).toBeGreaterThan(3);
    expect(spans.filter(({ links }) => links.length > 0)).toHaveLength(1);
    expect(spans.filter(({ parent }) => parent?.[1] === true).length).toBeGreaterThan(0);
  }, 120_000);

  const OF_VALUES = { OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: '9', OTEL_SPAN_ATTRIBUTE_PER_EVENT_COUNT_LIMIT: '1' };
  const OF_LISTS = { OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '5', OTEL_SPAN_EVENT_COUNT_LIMIT: '0', OTEL_SPAN_LINK_COUNT_LIMIT: '1' };
  it.each([
    { limits: OF_VALUES, isDropping: [false, false, false] },
    { limits: OF_LISTS, isDropping: [true, true, true] },
  ])(
    'are the same with $limits',
    async ({ limits, isDropping }) => {
      const [sdk, ours] = [await spansOn('sdk', limits), await spansOn('ours', limits)];
      expect(parsed(ours)).toEqual(parsed(sdk));
      const spans = flat(parsed(ours));
      expect([0, 1, 2].map(what => spans.some(({ dropped }) => dropped[what]! > 0))).toEqual(isDropping);
    },
    120_000,
  );
});
