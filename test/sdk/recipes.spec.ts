import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { OwnProcess, programOf } from '../own-process.js';
import { Collector } from './collector.js';

let program: string;
let collector: Collector;
let running: OwnProcess;
beforeAll(async () => {
  program = await programOf('test/sdk/recipes.fixture.ts');
});
beforeEach(async () => {
  collector = await Collector.start();
});
afterEach(async () => {
  running.signal('SIGKILL');
  await running.ended;
  await collector.stop();
});

function start(recipe: string): OwnProcess {
  running = OwnProcess.start(program, { RECIPE: recipe, NODE_ENV: 'production', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, PORT: '0' });
  return running;
}
const names = () => collector.spans.map(({ name }) => name);

describe('a recipe of docs/serverless-and-shutdown.md', () => {
  it.each(['serverless', 'inject'])('delivers the spans of each event before the process is frozen: %s', async recipe => {
    const application = start(recipe);
    await application.says('ready');
    for (let round = 1; round <= 3; round++) {
      application.tell('serve');
      await application.says(`answered ${round}`);
      application.signal('SIGSTOP');
      expect(names()).toEqual(Array(round).fill(['Nightly.run', 'GET /work']).flat());
      collector.closeIdleConnections();
      application.signal('SIGCONT');
    }
    const [work, request] = collector.spans;
    expect(work?.parentSpanId).toBe(request?.spanId);
    expect(request).toMatchObject({ kind: 2, attributes: { 'http.route': '/work', 'http.response.status_code': 200 } });
    expect(collector.requests).toHaveLength(3);
    expect(application.lines.filter(line => line.includes('[Tracing]'))).toEqual([]);
  });

  it.each([
    ['job', 0, ['Nightly.run', 'nightly']],
    ['uncaughtException', 1, ['Nightly.run']],
    ['unhandledRejection', 1, ['Nightly.run']],
  ])('delivers what has ended before the process does: %s', async (recipe, code, expected) => {
    const application = start(recipe);
    expect(await application.ended).toEqual({ code, signal: null });
    expect(names()).toEqual(expected);
  });

  it('delivers what has ended before SIGTERM ends the process', async () => {
    const application = start('sigterm');
    await application.says('ready');
    application.signal('SIGTERM');
    expect(await application.ended).toEqual({ code: null, signal: 'SIGTERM' });
    expect(names()).toEqual(expect.arrayContaining(['Nightly.run', 'GET /work']));
  });
});
