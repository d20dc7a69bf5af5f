import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { OwnProcess, programOf } from '../own-process.js';
import { Collector } from './collector.js';
import { freePort } from '../../sample/runner/free-ports.js';

/** What PM2 gives a process between SIGTERM and SIGKILL. */
const KILL_AFTER_MS = 1600;

let program: string;
let collector: Collector;
beforeAll(async () => {
  program = await programOf('test/sdk/shutdown.fixture.ts');
});
beforeEach(async () => {
  collector = await Collector.start();
});
afterEach(() => collector.stop());

describe('an application that gets SIGTERM while work of 10 s is under way, and is killed 1.6 s later', () => {
  it.each([
    ['express', 'own', 'GET /wait/:ms'],
    ['fastify', 'own', 'GET /wait/:ms'],
    ['drain', 'own', 'GET /wait/:ms'],
    ['microservice', 'own', 'wait'],
    ['jobs', 'own', 'job'],
    ['express', 'adopted', 'GET /wait/:ms'],
    ['express', 'processor', 'GET /wait/:ms'],
  ])('has delivered what ended before and since: %s, %s pipeline', async (kind, provider, name) => {
    const application = OwnProcess.start(program, {
      KIND: kind,
      PROVIDER: provider,
      NODE_ENV: 'production',
      COLLECTOR: collector.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      PORT: String(await freePort()),
    });
    const served = () => collector.spans.filter(span => span.name === name && span.kind !== 3);
    try {
      await application.says('working');
      expect(served()).toEqual([]);
      application.signal('SIGTERM');
      const killAt = Date.now() + KILL_AFTER_MS;
      while (served().length < 6 && Date.now() < killAt) await collector.receivedSpans(collector.spans.length + 1, killAt - Date.now());
      expect(served()).toHaveLength(6);
    } finally {
      application.signal('SIGKILL');
      await application.ended;
    }
  });
});
