import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Redis } from 'ioredis';
import { Redis as OlderRedis } from 'ioredis-5.4';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, redis as server, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

describeWith(server, 'ioredis').each([
  ['6.0', Redis],
  ['5.4', OlderRedis as unknown as typeof Redis],
])('a command through ioredis %s', (_version, Client) => {
  let port: number;
  let client: Redis;
  let application: DatabaseApplication;

  beforeAll(async () => {
    ({ port } = await serverOf(server));
  });
  beforeEach(async () => {
    client = new Client({ host: '127.0.0.1', port });
    await client.flushall();
    application = await DatabaseApplication.start({ client });
  });
  afterEach(async () => {
    await application.close();
    client.disconnect();
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

  it('keeps its value, its promise and its callback as they are', async () => {
    await application.during(async () => {
      expect(client.set('a', '1').constructor.name).toBe('Promise');
      expect(await client.get('a')).toBe('1');
      expect(await client.getBuffer('a')).toEqual(Buffer.from('1'));
      const inCallback = await new Promise((resolve, reject) => {
        void client.get('a', (error, value) => (error ? reject(error) : resolve(value)));
      });
      expect(inCallback).toBe('1');
      expect(await client.pipeline().get('a').incr('a').exec()).toEqual([
        [null, '1'],
        [null, 2],
      ]);
      await expect(client.hget('a', 'b')).rejects.toThrow('WRONGTYPE');
    });
    expect(client).toBeInstanceOf(Client);
    expect(Object.keys(client)).not.toContain('sendCommand');
  });

  it('belongs to the request that made it, and so does what its callback calls', async () => {
    const requests = await application.concurrently(100, async index => {
      await client.set(`user:${index}`, index);
      await new Promise<void>(resolve => {
        void client.get(`user:${index}`, () => void client.incr('n', () => resolve()));
      });
      await client.multi().del(`user:${index}`).incr('m').exec();
      await new Promise<void>(resolve => {
        void client
          .pipeline()
          .get('a')
          .get('b')
          .exec(() => void client.exists('c', () => resolve()));
      });
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['SET', 'GET', 'INCR', 'MULTI', 'PIPELINE GET', 'EXISTS']);
    const children = requests.flat().filter(span => !application.parentOf(span)?.name.startsWith('request '));
    expect(children).toEqual([]);
  });

  it('that is queued until the connection is ready belongs to its request, too', async () => {
    const lazy = traceDatabase(new Client({ host: '127.0.0.1', port, lazyConnect: true }));
    const requests = await application.concurrently(100, index => (index % 2 ? lazy.get('a') : lazy.multi().get('b').exec()));
    requests.forEach((spans, index) => expect(namesOf(spans)).toEqual([index % 2 ? 'GET' : 'MULTI GET']));
    lazy.disconnect();
  });

  it('is one span for each pipeline and transaction, with the number of commands', async () => {
    const [pipeline, transaction, single, ...others] = await application.during(async () => {
      await client
        .pipeline([
          ['set', 'user:1', SECRET],
          ['get', 'user:1'],
        ])
        .exec();
      await client.multi().get('a').get('b').get('c').exec();
      await client.multi().get('a').exec();
    });
    expect(pipeline?.attributes).toMatchObject({
      'db.operation.name': 'PIPELINE',
      'db.operation.batch.size': 2,
      'db.query.text': 'PIPELINE',
      'db.namespace': '0',
      'server.port': port,
    });
    expect(transaction?.attributes).toMatchObject({ 'db.operation.name': 'MULTI GET', 'db.operation.batch.size': 3 });
    expect(single?.attributes).not.toHaveProperty('db.operation.batch.size');
    expect(others).toEqual([]);
  });

  it('of a transaction without a pipeline is a span of its own', async () => {
    const spans = await application.during(async () => {
      await client.multi({ pipeline: false });
      await client.set('a', SECRET);
      await client.exec();
    });
    expect(namesOf(spans)).toEqual(['MULTI', 'SET', 'EXEC']);
  });

  it('fails with the code of Redis, and so does a batch with its first failed command', async () => {
    await client.set('a', SECRET);
    const [span, batch, aborted] = await application.during(async () => {
      await client.lpush('a', SECRET).catch(() => undefined);
      await client.pipeline().get('a').lpush('a', SECRET).exec();
      await client
        .multi()
        .get('a')
        .call('NOSUCH', SECRET)
        .exec()
        .catch(() => undefined);
    });
    expect(span).toMatchObject({ name: 'LPUSH', status: { code: SpanStatusCode.ERROR } });
    expect(span?.status.message).toBe('WRONGTYPE Operation against a key holding the wrong kind of value');
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': 'WRONGTYPE', 'error.type': 'WRONGTYPE' });
    expect(batch?.attributes).toMatchObject({ 'db.response.status_code': 'WRONGTYPE' });
    expect(aborted?.attributes).toMatchObject({ 'db.response.status_code': 'EXECABORT' });
    expect(application.exported).not.toContain(SECRET);
  });

  it('in a pipeline that the library fills for several requests is a span of its request', async () => {
    const filling = traceDatabase(new Client({ host: '127.0.0.1', port, enableAutoPipelining: true }));
    await filling.set('text', 'a');
    const requests = await application.concurrently(100, async index => {
      await filling.get(`user:${index}`);
      if (index === 7) await filling.lpush('text', SECRET).catch(() => undefined);
    });
    requests.forEach((spans, index) => expect(namesOf(spans)).toEqual(index === 7 ? ['GET', 'LPUSH'] : ['GET']));
    expect(requests[7]?.[1]?.attributes['error.type']).toBe('WRONGTYPE');
    expect(namesOf(await application.during(() => filling.pipeline().get('a').exec()))).toEqual(['PIPELINE GET']);
    filling.disconnect();
  });

  it('in an ignored pipeline has no span', async () => {
    const quiet = await DatabaseApplication.start({ client }, { databases: { ignore: ['PIPELINE*'] } });
    expect(await quiet.during(() => client.pipeline().get('a').exec())).toEqual([]);
    await quiet.close();
  });

  it('of a script is known by its digest', async () => {
    client.defineCommand('double', { numberOfKeys: 1, lua: 'return redis.call("GET", KEYS[1]) .. ARGV[1]' });
    await client.set('a', '1');
    const call = () => (client as unknown as { double(key: string, value: string): Promise<string> }).double('a', SECRET);
    const spans = await application.during(async () => {
      expect(await call()).toBe(`1${SECRET}`);
      expect(await call()).toBe(`1${SECRET}`);
      await client.eval('return ARGV[1]', 0, SECRET);
    });
    expect(namesOf(spans)).toEqual(['EVALSHA', 'EVALSHA', 'EVAL']);
    expect(spans[0]?.attributes['db.stored_procedure.name']).toMatch(/^[0-9a-f]{40}$/);
    expect(spans.map(({ attributes }) => attributes['db.query.text'])).toEqual(namesOf(spans));
  });

  it('of a copy, and one that waits, is traced, and what a subscriber hears is not', async () => {
    const heard: string[] = [];
    const spans = await application.during(async () => {
      const subscriber = client.duplicate({ lazyConnect: true });
      const told = new Promise<void>(resolve =>
        subscriber.on('message', (channel, message) => {
          heard.push(`${channel} ${message}`);
          void client.get('outside of the request').then(() => resolve());
        }),
      );
      await subscriber.subscribe('news');
      await client.publish('news', 'hello');
      await told;
      subscriber.disconnect();
      const waiting = client.duplicate();
      const popped = waiting.blpop('list', 5);
      await client.rpush('list', 'x');
      expect(await popped).toEqual(['list', 'x']);
      await waiting.quit();
    });
    expect(heard).toEqual(['news hello']);
    expect(namesOf(spans).sort()).toEqual(['BLPOP', 'PUBLISH', 'QUIT', 'RPUSH', 'SUBSCRIBE']);
  });

  it('fails when its connection is closed before the answer', async () => {
    const [span] = await application
      .during(async () => {
        const waiting = client.duplicate();
        await waiting.ping();
        const popped = waiting.blpop('nothing', 5).catch(() => undefined);
        setTimeout(() => waiting.disconnect(), 20);
        await popped;
      })
      .then(spans => spans.filter(({ name }) => name === 'BLPOP'));
    expect(span).toMatchObject({ status: { code: SpanStatusCode.ERROR, message: 'Connection is closed.' } });
  });

  it('that still runs when the application closes ends as cut off', async () => {
    const waiting = traceDatabase(new Client({ host: '127.0.0.1', port }));
    let popped: Promise<unknown> | undefined;
    await application.during(() => {
      popped = waiting.blpop('nothing', 5).catch(() => undefined);
    });
    await application.close();
    expect(application.named('BLPOP')[0]?.attributes['error.type']).toBe('application_closed');
    waiting.disconnect();
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
    expect(
      namesOf(
        await quiet.during(async () => {
          await client.get('a');
          await client.set('a', 1);
        }),
      ),
    ).toEqual(['SET']);
    await quiet.close();
    await application.close();
    for (const name of ['sendCommand', 'pipeline', 'multi', 'connect', 'duplicate']) expect(Object.hasOwn(client, name)).toBe(false);
  });
});

describeWith(server, 'ioredis')('a client of ioredis 6.0 that Nest does not know', () => {
  it('is traced, and each command belongs to its request or to none', async () => {
    const { port } = await serverOf(server);
    const client = new Redis({ host: '127.0.0.1', port, lazyConnect: true });
    const application = await DatabaseApplication.start({});
    const early = await application.concurrently(20, () => client.get('a'));
    expect(early.flat()).toEqual([]);
    const requests = await application.concurrently(100, async index => {
      await client.set(`user:${index}`, SECRET);
      await client.lpush(`user:${index}`, SECRET).catch(() => undefined);
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['SET', 'LPUSH']);
    expect(requests[0]?.[0]?.attributes).toEqual({
      'db.system.name': 'redis',
      'db.namespace': '0',
      'db.operation.name': 'SET',
      'db.query.text': 'SET user:? ?',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
    expect(requests[0]?.[1]?.attributes['error.type']).toBe('WRONGTYPE');
    expect(application.exported).not.toContain(SECRET);
    await application.close();
    application.recorder.clear();
    await client.get('a');
    expect(application.recorder.spans).toEqual([]);
    client.disconnect();
  });
});
