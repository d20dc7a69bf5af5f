import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { createClient, createClientPool, type RedisClientPoolType, type RedisClientType } from 'redis';
import { createClient as createOlderClient, createClientPool as createOlderPool } from 'redis-5.10';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, redis as server, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

describeWith(server, 'redis').each([
  ['6.3', createClient, createClientPool],
  ['5.10', createOlderClient as unknown as typeof createClient, createOlderPool as unknown as typeof createClientPool],
])('a command through redis %s', (version, create, createPool) => {
  let port: number;
  let client: RedisClientType;
  let pool: RedisClientPoolType;
  let application: DatabaseApplication;

  beforeAll(async () => {
    ({ port } = await serverOf(server));
  });
  beforeEach(async () => {
    const options = { socket: { host: '127.0.0.1', port } };
    client = create(options);
    pool = createPool(options, { minimum: 1, maximum: 5 });
    client.on('error', () => undefined);
    pool.on('error', () => undefined);
    await client.connect();
    await client.flushAll();
    await pool.connect();
    application = await DatabaseApplication.start({ client, pool });
  });
  afterEach(async () => {
    await application.close();
    client.destroy();
    pool.destroy();
  });

  it('is a CLIENT span, described by the conventions for Redis', async () => {
    const [span, ...others] = await application.during(() => client.set('user:7', SECRET));
    expect(others).toEqual([]);
    expect(span).toMatchObject({ name: 'SET', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(span?.attributes).toEqual({
      'db.system.name': 'redis',
      'db.namespace': '0',
      'db.operation.name': 'SET',
      'db.query.text': 'SET user:? ?',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
  });

  it('keeps its value and its promise as they are', async () => {
    await application.during(async () => {
      expect(client.set('a', '1').constructor.name).toBe('Promise');
      expect(await client.get('a')).toBe('1');
      expect(await client.withCommandOptions({}).get('a')).toBe('1');
      expect(await client.multi().get('a').incr('a').exec()).toEqual(['1', 2]);
      await expect(client.hGet('a', 'b')).rejects.toThrow('WRONGTYPE');
      expect(await pool.execute(async one => one.get('a'))).toBe('2');
    });
    expect(Object.keys(client)).not.toContain('sendCommand');
  });

  it('belongs to the request that made it, whoever returns the client of the pool it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      await client.set(`user:${index}`, index);
      await pool.execute(async one => {
        await one.get('a');
        await one.incr('n');
      });
      await pool.exists('a');
      await client.multi().del('b').incr('m').exec();
      await client.multi().get('b').get('c').execAsPipeline();
      await pool.multi().get('b').exec();
    });
    const batches = version === '5.10' ? ['MULTI', 'PIPELINE GET', 'MULTI GET'] : ['MULTI', 'PIPELINE', 'MULTI'];
    for (const spans of requests) expect(namesOf(spans)).toEqual(['SET', 'GET', 'INCR', 'EXISTS', ...batches]);
    expect(requests.flat().filter(span => !application.parentOf(span)?.name.startsWith('request '))).toEqual([]);
  });

  it('is one span for each transaction and pipeline, with the number of commands', async () => {
    const [transaction, pipeline, ...others] = await application.during(async () => {
      await client.multi().set('user:1', SECRET).get('user:1').get('a').exec();
      await client.multi().get('a').get('b').execAsPipeline();
    });
    expect(transaction?.attributes).toEqual({
      'db.system.name': 'redis',
      'db.namespace': '0',
      'db.operation.name': 'MULTI',
      'db.operation.batch.size': 3,
      'db.query.text': 'MULTI',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
    expect(pipeline?.attributes['db.operation.batch.size']).toBe(2);
    expect(others).toEqual([]);
  });

  it('fails with the code of Redis, and so does a transaction with its first failed command', async () => {
    await client.set('a', SECRET);
    const [span, batch, changed] = await application
      .during(async () => {
        await client.lPush('a', SECRET).catch(() => undefined);
        await client
          .multi()
          .get('a')
          .lPush('a', SECRET)
          .exec()
          .catch(() => undefined);
        await client.watch('a');
        await client
          .duplicate()
          .connect()
          .then(async other => {
            await other.set('a', SECRET);
            other.destroy();
          });
        await client
          .multi()
          .get('a')
          .exec()
          .catch(() => undefined);
      })
      .then(spans => spans.filter(({ status }) => status.code === SpanStatusCode.ERROR));
    expect(span).toMatchObject({ name: 'LPUSH' });
    expect(span?.status.message).toBe('WRONGTYPE Operation against a key holding the wrong kind of value');
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': 'WRONGTYPE', 'error.type': 'WRONGTYPE' });
    expect(batch?.attributes).toMatchObject({ 'db.response.status_code': 'WRONGTYPE', 'db.operation.batch.size': 2 });
    expect(changed?.attributes).toMatchObject({ 'error.type': 'WatchError' });
    expect(application.exported).not.toContain(SECRET);
  });

  it('that is called before the client is connected belongs to its request', async () => {
    const late = traceDatabase(create({ socket: { host: '127.0.0.1', port } }));
    const connecting = late.connect();
    const requests = await application.concurrently(100, () => late.get('a'));
    for (const spans of requests) expect(namesOf(spans)).toEqual(['GET']);
    await connecting;
    late.destroy();
  });

  it('fails when the client is destroyed before the answer', async () => {
    const waiting = traceDatabase(client.duplicate());
    await waiting.connect();
    const [span] = await application.during(async () => {
      const popped = waiting.blPop('nothing', 5).catch(() => undefined);
      setTimeout(() => waiting.destroy(), 20);
      await popped;
    });
    expect(span).toMatchObject({ name: 'BLPOP', status: { code: SpanStatusCode.ERROR } });
  });

  it('that still runs when the application closes ends as cut off', async () => {
    const waiting = traceDatabase(client.duplicate());
    await waiting.connect();
    let popped: Promise<unknown> | undefined;
    await application.during(() => {
      popped = waiting.blPop('nothing', 5).catch(() => undefined);
    });
    await application.close();
    expect(application.named('BLPOP')[0]?.attributes['error.type']).toBe('application_closed');
    waiting.destroy();
    await popped;
  });

  it('names the number of the database', async () => {
    await client.select(3);
    const [span] = await application.during(() => client.get('a'));
    expect(span?.attributes['db.namespace']).toBe('3');
  });

  it('has no span outside of a request, in an ignored command, or after the application is closed', async () => {
    application.recorder.clear();
    await client.get('a');
    expect(application.recorder.spans).toEqual([]);
    const quiet = await DatabaseApplication.start({ client }, { databases: { ignore: ['GET'] } });
    const spans = await quiet.during(async () => {
      await client.get('a');
      await client.set('a', 1);
    });
    expect(namesOf(spans)).toEqual(['SET']);
    await quiet.close();
    await application.close();
    const { _self: self } = client as unknown as { _self: object };
    for (const name of ['sendCommand', '_executeMulti', '_executePipeline']) expect(Object.hasOwn(self, name)).toBe(false);
    expect(Object.hasOwn((pool as unknown as { _self: object })._self, 'execute')).toBe(false);
  });
});

describeWith(server, 'redis')('a client of redis 6.3 that Nest does not know', () => {
  it('is traced, and a pool only if it is known, as its commands may run for another request', async () => {
    const { port } = await serverOf(server);
    const options = { socket: { host: '127.0.0.1', port } };
    const client = await createClient(options).connect();
    const pool = createClientPool(options, { minimum: 1, maximum: 2 });
    await pool.connect();
    const application = await DatabaseApplication.start({});
    const requests = await application.concurrently(20, async () => {
      await client.get('a');
      await pool.get('b');
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['GET']);
    traceDatabase(pool);
    const known = await application.concurrently(20, () => pool.get('b'));
    for (const spans of known) expect(namesOf(spans)).toEqual(['GET']);
    await application.close();
    client.destroy();
    pool.destroy();
  });
});
