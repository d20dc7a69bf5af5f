/** What two services keep of the same traces: two processes, HTTP between them, W3C headers. */
import type http from 'node:http';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { TracingOptions } from '../../../lib/index.js';
import { OwnProcess, programOf } from '../../own-process.js';
import { send } from '../../integrations/http-server/http-application.js';
import { traceIdOf } from './local-roots.js';

const SECRET = 'a secret of some length';
/** Never, however busy the machine is. */
const slowerThanMs = 60_000;
const keepHeader = { name: 'x-keep-trace', secret: SECRET };

interface Exported {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId?: string;
  readonly state?: string;
  readonly reason?: string;
}

class Service {
  private constructor(
    private readonly process: OwnProcess,
    readonly port: number,
  ) {}

  static async start(
    program: string,
    settings: { adapter: 'express' | 'fastify'; next?: string; tracing: TracingOptions },
  ): Promise<Service> {
    const process = OwnProcess.start(program, { SETTINGS: JSON.stringify(settings), NODE_ENV: 'test' });
    return new Service(process, Number(await process.says('PORT')));
  }

  /** Stops the service, and returns what it has exported. */
  async stop(): Promise<Exported[]> {
    this.process.tell('close');
    await this.process.ended;
    const spans = this.process.lines.filter(line => line.startsWith('SPAN ')).map(line => JSON.parse(line.slice(5)) as Exported);
    if (spans.length === 0) expect(this.process.lines.slice(1)).toEqual([]);
    return spans;
  }

  kill(): void {
    this.process.signal('SIGKILL');
  }
}

const withReason = (spans: readonly Exported[]) => spans.filter(({ reason }) => reason !== undefined);
const idsOf = (spans: readonly Exported[], name?: string) =>
  new Set(spans.filter(span => name === undefined || span.name === name).map(({ traceId }) => traceId));

describe('keep in a service on Express that calls one on Fastify', () => {
  let program: string;
  let outer: Service;
  let inner: Service;
  beforeAll(async () => {
    program = await programOf('test/sdk/retention/service.fixture.ts');
  });
  afterEach(() => {
    outer.kill();
    inner.kill();
  });

  const start = async (forOuter: TracingOptions, forInner: TracingOptions): Promise<void> => {
    inner = await Service.start(program, { adapter: 'fastify', tracing: forInner });
    const next = `http://127.0.0.1:${inner.port}`;
    outer = await Service.start(program, { adapter: 'express', next, tracing: forOuter });
  };
  const call = async (path: string, headers: http.OutgoingHttpHeaders = {}): Promise<string> => {
    const { body } = await send(outer.port, path, { headers });
    return (JSON.parse(body) as { traceId: string }).traceId;
  };
  /** Stops both, the caller first: it has the answers of the other one by then. */
  const exported = async () => ({ outer: await outer.stop(), inner: await inner.stop() });

  it('keeps in the service with the smaller ratio a part of what the other one keeps, and says why', async () => {
    await start({ keep: { ratio: 0.5, slowerThanMs } }, { keep: { ratio: 0.1, slowerThanMs } });
    const ids: string[] = [];
    for (let round = 0; round < 20; round++) ids.push(...(await Promise.all(Array.from({ length: 20 }, () => call('/call/fine')))));
    expect(new Set(ids).size).toBe(400);
    const kept = await exported();
    // The threshold is what is rejected of 2^56.
    const atLeast = (threshold: string) => new Set(ids.filter(id => id.slice(-14) >= threshold.padEnd(14, '0')));
    expect(idsOf(kept.outer)).toEqual(atLeast('8'));
    expect(idsOf(kept.inner)).toEqual(atLeast('e666'));
    expect([...idsOf(kept.inner)].filter(id => !idsOf(kept.outer).has(id))).toEqual([]);
    expect(idsOf(kept.inner).size).toBeGreaterThan(10);
    expect(new Set(kept.outer.map(({ state }) => state))).toEqual(new Set(['ot=th:8']));
    expect(new Set(kept.inner.map(({ state }) => state))).toEqual(new Set(['ot=th:e666']));
    expect(new Set(withReason([...kept.outer, ...kept.inner]).map(({ reason }) => reason))).toEqual(new Set(['ratio']));
    // Each part is complete, and the parts fit together.
    expect(kept.outer).toHaveLength(2 * idsOf(kept.outer).size);
    const calls = new Map(kept.outer.map(span => [span.spanId, span.traceId]));
    for (const { parentId = '', traceId } of kept.inner) expect(calls.get(parentId)).toBe(traceId);
  });

  it('keeps a failure where a span failed', async () => {
    await start({ keep: { ratio: 0, slowerThanMs } }, { keep: { ratio: 0, slowerThanMs } });
    await call('/call/fine');
    const hidden = await call('/call/hidden');
    const broken = await call('/call/broken');
    const kept = await exported();
    expect(withReason(kept.inner).map(({ name, traceId, reason, state }) => [name, traceId, reason, state])).toEqual([
      ['GET /hidden', hidden, 'error', 'ot=th:0'],
      ['GET /broken', broken, 'error', 'ot=th:0'],
    ]);
    expect(withReason(kept.outer).map(({ name, traceId, reason, state }) => [name, traceId, reason, state])).toEqual([
      ['GET /call/:path', broken, 'error', 'ot=th:0'],
    ]);
  });

  it('keeps errors in the service that wants them only', async () => {
    await start({ keep: { errors: false, ratio: 0.5, slowerThanMs } }, { keep: { errors: true, ratio: 0, slowerThanMs } });
    const ids: string[] = [];
    for (let count = 0; count < 40; count++) ids.push(await call('/call/broken'));
    const kept = await exported();
    expect(idsOf(kept.inner)).toEqual(new Set(ids));
    expect(idsOf(kept.outer)).toEqual(new Set(ids.filter(id => id.slice(-14) >= '8')));
    expect(new Set(withReason(kept.outer).map(({ reason }) => reason))).toEqual(new Set(['ratio']));
  });

  it('keeps both parts if the first service asks before it calls, or if a caller has the secret', async () => {
    await start({ keep: { ratio: 0, slowerThanMs }, inbound: { keepHeader } }, { keep: { ratio: 0, slowerThanMs } });
    const traceparent = `00-${traceIdOf('00000000000001')}-b7ad6b7169203331-00`;
    // As many members as the standard allows.
    const tracestate = Array.from({ length: 32 }, (_, index) => `m${index}=1`).join(',');
    const asked = [
      await call('/keep/fine'),
      await call('/call/fine', { 'x-keep-trace': SECRET }),
      await call('/call/fine', { 'x-keep-trace': SECRET, traceparent }),
      await call('/call/fine', { 'x-keep-trace': SECRET, traceparent: traceparent.replace('0001-', '0002-'), tracestate }),
    ];
    await call('/call/fine', { 'x-keep-trace': `${SECRET}!` });
    await call('/call/fine', { traceparent: traceparent.replace('0001-', '0003-') }).catch(() => undefined);
    const kept = await exported();
    for (const spans of [kept.outer, kept.inner]) {
      expect(withReason(spans).map(({ traceId, reason }) => [traceId, reason])).toEqual(asked.map(id => [id, 'asked']));
      expect(spans.filter(({ state = '' }) => state.split(',').length > 32)).toEqual([]);
    }
  });

  it('does not follow a caller that it does not trust', async () => {
    await start({ keep: { ratio: 0, slowerThanMs } }, { keep: { ratio: 0, slowerThanMs }, inbound: { trust: false } });
    const asked = await call('/keep/fine');
    const kept = await exported();
    expect([...idsOf(kept.outer)]).toEqual([asked]);
    expect(kept.inner).toEqual([]);
  });

  it('gets everything into a service without the option', async () => {
    await start({ keep: { ratio: 0, slowerThanMs } }, {});
    const ids = [await call('/call/fine'), await call('/call/fine')];
    const kept = await exported();
    expect(kept.outer).toEqual([]);
    expect([...idsOf(kept.inner)]).toEqual(ids);
    expect(kept.inner.map(({ reason, state }) => [reason, state])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });
});
