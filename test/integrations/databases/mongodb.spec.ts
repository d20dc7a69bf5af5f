import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { type Collection, type Db, MongoClient, MongoServerError } from 'mongodb';
import { MongoClient as MongoClient6 } from 'mongodb-6';
import { traceDatabase, Tracer } from '../../../lib/index.js';
import { OwnProcess, programOf } from '../../own-process.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, ferretdb, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

interface User {
  n?: number;
  email?: string;
  address?: { city: string; zip: number };
  tags?: string[];
}

// Both have the same methods.
const drivers = [
  { version: 7, driver: MongoClient },
  { version: 6, driver: MongoClient6 as unknown as typeof MongoClient },
];

describeWith(ferretdb, 'mongodb').each(drivers)('a command through mongodb $version', ({ version, driver }) => {
  let port: number;
  let client: MongoClient;
  let db: Db;
  let users: Collection<User>;
  let application: DatabaseApplication;

  beforeAll(async () => {
    ({ port } = await serverOf(ferretdb));
  });
  beforeEach(async () => {
    client = await new driver(`mongodb://127.0.0.1:${port}`, { maxPoolSize: 5 }).connect();
    db = client.db(`shop${version}`);
    users = db.collection<User>('users');
    await users.deleteMany({});
    application = await DatabaseApplication.start({ client });
  });
  afterEach(async () => {
    await application.close();
    await client.close();
  });

  it('is a CLIENT span, described by the stable conventions', async () => {
    await users.insertOne({ n: 7 });
    const [span, ...others] = await application.during(async () => {
      expect(await users.findOne({ n: 7 }, { projection: { _id: 0 } })).toEqual({ n: 7 });
    });
    expect(others).toEqual([]);
    expect(span).toMatchObject({ name: 'find users', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(span?.attributes).toEqual({
      'db.system.name': 'mongodb',
      'db.namespace': `shop${version}`,
      'db.operation.name': 'find',
      'db.collection.name': 'users',
      'db.query.summary': 'find users',
      'db.query.text': '{"find":"users","filter":{"n":"?"},"projection":{"_id":"?"},"limit":"?","singleBatch":"?"}',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
  });

  it('has the name of the command and of the collection', async () => {
    const spans = await application.during(async () => {
      await users.insertOne({ n: 1 });
      await users.insertMany([{ n: 2 }, { n: 3 }, { n: 4 }]);
      await users.updateOne({ n: 1 }, { $set: { email: 'a' } });
      await users.bulkWrite([
        { updateOne: { filter: { n: 2 }, update: { $set: { email: 'b' } } } },
        { updateOne: { filter: { n: 3 }, update: { $set: { email: 'c' } } } },
        { deleteOne: { filter: { n: 4 } } },
      ]);
      await users.aggregate([{ $match: { n: 1 } }, { $project: { email: 1 } }]).toArray();
      await users.distinct('n');
      await users.findOneAndUpdate({ n: 1 }, { $set: { n: 10 } });
      await users.createIndex({ n: 1 });
      await users.listIndexes().toArray();
      await db.listCollections({ name: 'users' }).toArray();
      await users.find({}).explain();
      await db.collection('others').drop();
    });
    expect(namesOf(spans)).toEqual([
      'insert users',
      'insert users',
      'update users',
      'update users',
      'delete users',
      'aggregate users',
      'distinct users',
      'findAndModify users',
      'createIndexes users',
      'listIndexes users',
      'listCollections',
      'explain users',
      'drop others',
    ]);
    expect(spans.map(span => span.attributes['db.operation.batch.size'])).toEqual([undefined, 3, undefined, 2, ...Array<undefined>(9)]);
  });

  it('shows no values in its text, and none at all for commands that it does not know', async () => {
    const spans = await application.during(async () => {
      const tags = Array.from({ length: 500 }, (_, index) => `${SECRET} ${index}`);
      await users.insertMany([
        { email: SECRET, address: { city: SECRET, zip: 1234567 }, tags },
        { email: `${SECRET} 2`, address: { city: SECRET, zip: 7654321 }, tags: [] },
      ]);
      await users.find({ $or: [{ email: { $in: [SECRET, 'b'] } }, { email: new RegExp(SECRET) }], n: { $gt: 1234567 } }).toArray();
      await users.updateOne({ email: SECRET }, { $set: { 'address.city': SECRET }, $push: { tags: SECRET } });
      await users.aggregate([{ $match: { email: SECRET } }, { $group: { _id: '$email', count: { $sum: 1 } } }]).toArray();
      await users.countDocuments({ email: SECRET, n: { $in: [1234567] } });
      await users.distinct('email', { email: { $ne: SECRET } });
      await users.findOneAndUpdate({ email: SECRET }, { $set: { email: `${SECRET} 3` } });
      await users.deleteMany({ tags: SECRET });
      await db.command({ [`${SECRET} in a name`]: SECRET }).catch(() => undefined);
      await db.command({ createUser: SECRET, pwd: SECRET, roles: [] }).catch(() => undefined);
    });
    expect(spans.map(span => span.attributes['db.query.text'])).toEqual([
      '{"insert":"users","documents":[{"email":"?","address":{"city":"?","zip":"?"},"tags":["?"],"_id":"?"},' +
        '{"email":"?","address":{"city":"?","zip":"?"},"tags":[],"_id":"?"}],"ordered":"?"}',
      '{"find":"users","filter":{"$or":[{"email":{"$in":["?"]}},{"email":"?"}],"n":{"$gt":"?"}}}',
      '{"update":"users","updates":[{"q":{"email":"?"},"u":{"$set":{"address.city":"?"},"$push":{"tags":"?"}}}],"ordered":"?"}',
      '{"aggregate":"users","pipeline":[{"$match":{"email":"?"}},{"$group":{"_id":"?","count":{"$sum":"?"}}}],"cursor":{}}',
      expect.stringMatching(/^\{"aggregate":"users"/),
      '{"distinct":"users","key":"?","query":{"email":{"$ne":"?"}}}',
      expect.stringMatching(/^\{"findAndModify":"users","query":\{"email":"\?"\}/),
      '{"delete":"users","deletes":[{"q":{"tags":"?"},"limit":"?"}],"ordered":"?"}',
      undefined,
      undefined,
    ]);
    expect(namesOf(spans).slice(-2)).toEqual(['mongodb', 'createUser']);
    expect(application.exported).not.toContain(SECRET);
    expect(application.exported).not.toMatch(/1234567|7654321/);
  });

  it('has a short text even if it is large', async () => {
    const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`field ${index}`, index]));
    const [span] = await application.during(() => users.insertMany([{ ...wide }, { ...wide }, { ...wide }] as User[]));
    const text = String(span?.attributes['db.query.text']);
    expect(text.length).toBeLessThan(4000);
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  });

  it('has no text where the user wants none, and no span where the user ignores it', async () => {
    const quiet = await DatabaseApplication.start({ client }, { databases: { queryText: false, ignore: 'insert users' } });
    const spans = await quiet.during(async () => {
      await users.insertOne({ n: 1 });
      await users.deleteOne({ n: 1 });
    });
    expect(namesOf(spans)).toEqual(['delete users']);
    expect(spans[0]?.attributes).not.toHaveProperty('db.query.text');
    await quiet.close();
  });

  it('belongs to the request that made it, whoever releases the connection it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      await users.insertOne({ n: index });
      await Promise.all([users.findOne({ n: index }), users.updateOne({ n: index }, { $set: { email: `e${index}` } })]);
      for await (const user of users.find({ n: index })) expect(user.n).toBe(index);
    });
    for (const spans of requests) {
      expect(namesOf(spans).sort()).toEqual(['find users', 'find users', 'insert users', 'update users']);
      expect(spans.every(span => application.parentOf(span)?.name.startsWith('request'))).toBe(true);
    }
  });

  it('that fetches more of a cursor belongs to the request that opened it, whoever reads it', async () => {
    await users.insertMany(Array.from({ length: 100 }, (_, n) => ({ n })));
    const tracer = application.context.get(Tracer);
    const stream = tracer.span('opens', () => {
      const opened = users.find({}, { batchSize: 20 }).stream();
      opened.on('data', () => opened.pause());
      return opened;
    });
    await once(stream, 'data');
    await tracer.span('reads', async () => {
      const timer = setInterval(() => stream.resume(), 1);
      await once(stream, 'end');
      clearInterval(timer);
    });
    const [opens] = application.named('opens');
    expect(application.named('getMore users').length).toBeGreaterThan(3);
    for (const span of [...application.named('find users'), ...application.named('getMore users')])
      expect(application.parentOf(span)).toBe(opens);
  });

  it('ends with its answer when a cursor is closed early, and closing makes no spans', async () => {
    await users.insertMany(Array.from({ length: 100 }, (_, n) => ({ n })));
    const spans = await application.during(async () => {
      const cursor = users.find({}, { batchSize: 20 });
      await cursor.next();
      await cursor.close();
      for await (const user of users.find({}, { batchSize: 20 })) if (user.n === 30) break;
      await db.command({ ping: 1 });
    });
    expect(namesOf(spans)).toEqual(['find users', 'find users', 'getMore users']);
    application.recorder.clear();
    await client.close();
    expect(namesOf([...application.recorder.spans])).toEqual([]);
  });

  it('that waits for news of a cursor has no span', async () => {
    await db.dropCollection('news').catch(() => undefined);
    const news = await db.createCollection('news', { capped: true, size: 4096 });
    await news.insertOne({ n: 1 });
    const spans = await application.during(async () => {
      const cursor = news.find({}, { tailable: true, awaitData: true, maxAwaitTimeMS: 20 });
      expect(await cursor.next()).toMatchObject({ n: 1 });
      await cursor.tryNext();
      await cursor.close();
    });
    expect(namesOf(spans)).toEqual(['find news']);
  });

  it('fails with the code of the server, and shows no value of the error', async () => {
    await users.createIndex({ email: 1 }, { unique: true }, {});
    await users.insertOne({ email: SECRET });
    const spans = await application.during(async () => {
      await users.insertOne({ email: SECRET }).catch(() => undefined);
      await users.insertMany([{ email: 'b' }, { email: SECRET }], { ordered: false }).catch(() => undefined);
      await users.updateOne({ email: 'b' }, { $set: { email: SECRET } }).catch(() => undefined);
      await users.findOneAndUpdate({ email: 'b' }, { $set: { email: SECRET } }).catch(() => undefined);
      await users
        .find({ $nothing: [SECRET] })
        .toArray()
        .catch(() => undefined);
    });
    // FerretDB knows the code of inserts only. For other commands it answers with an internal error.
    const codes = ['11000', '11000', '1', '1', '2'];
    expect(spans.map(({ attributes }) => attributes['db.response.status_code'])).toEqual(codes);
    expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual(codes);
    expect(spans.every(({ status }) => status.code === SpanStatusCode.ERROR)).toBe(true);
    expect(spans[0]?.status.message).toContain('E11000 duplicate key error');
    await expect(application.during(() => users.insertOne({ email: SECRET }))).rejects.toThrow('E11000');
    expect(application.named('request')[0]?.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.exported).not.toContain(SECRET);
    // MongoDB's own message has the value.
    const message = `E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: "${SECRET}" }`;
    const thrown = new MongoServerError({ code: 11000, message, keyValue: { email: SECRET } });
    await expect(application.during(() => Promise.reject(thrown))).rejects.toBe(thrown);
    expect(application.named('request')[0]?.status.message).toBe(message.replace(/\{.*\}/, '{?}'));
    expect(application.exported).not.toContain(SECRET);
  });

  it('through a database, a collection or a holder of one is traced, and not twice', async () => {
    const other = new driver(`mongodb://127.0.0.1:${port}`);
    const holder = { repository: other.db('a').collection('b') };
    const holding = await DatabaseApplication.start({ database: other.db('a'), collection: other.db('a').collection('b'), holder });
    expect(namesOf(await holding.during(() => holder.repository.findOne({})))).toEqual(['find b']);
    await holding.close();
    await other.close();
  });

  it('through a client that is no provider is traced after traceDatabase(), also if it connects later or again', async () => {
    const other = traceDatabase(new driver(`mongodb://127.0.0.1:${port}`));
    const find = () => application.during(() => other.db('a').collection('b').findOne({}));
    expect(namesOf(await find())).toEqual(['find b']);
    await other.close();
    await other.connect();
    expect(namesOf(await find())).toEqual(['find b']);
    await other.close();
  });

  it('has only the span of the official instrumentation where that is at work', async () => {
    const program = OwnProcess.start(await programOf('test/integrations/databases/mongodb-official.fixture.ts'), {
      SPEC_PORT: String(port),
    });
    expect(JSON.parse(await program.says('spans'))).toEqual(['instrumentation-mongodb: find users', 'nestjs-tracing: request']);
    await program.ended;
  });

  it('has no span any more after the application is closed', async () => {
    const { servers } = (client as unknown as { topology: { s: { servers: Map<string, { pool: object }> } } }).topology.s;
    const [{ pool }] = [...servers.values()] as [{ pool: object }];
    await users.findOne({});
    expect(Object.hasOwn(pool, 'checkOut')).toBe(true);
    await application.close();
    application.recorder.clear();
    await users.findOne({});
    expect(application.recorder.spans).toEqual([]);
    expect(Object.hasOwn(pool, 'checkOut')).toBe(false);
    expect(client.listenerCount('connectionPoolReady')).toBe(0);
  });

  describe('that is not answered', () => {
    let silent: SilentProxy;
    let waiting: MongoClient;
    let traced: DatabaseApplication;
    beforeEach(async () => {
      silent = await SilentProxy.start(port);
      waiting = new driver(`mongodb://127.0.0.1:${silent.port}`, { maxPoolSize: 1, retryReads: false });
      await waiting.db('a').collection('b').findOne({});
      traced = await DatabaseApplication.start({ waiting });
      silent.isSilent = true;
    });
    afterEach(async () => {
      await traced.close();
      silent.stop();
      await waiting.close();
    });

    it('fails when its connection is lost', async () => {
      const [span] = await traced.during(async () => {
        const answer = waiting.db('a').collection('b').findOne({ email: SECRET });
        setTimeout(() => silent.disconnect(), 20);
        await answer.catch(() => undefined);
      });
      expect(span).toMatchObject({ name: 'find b', status: { code: SpanStatusCode.ERROR } });
      expect(span?.attributes['error.type']).toBe('MongoNetworkError');
    });

    it('fails when it is cancelled', async () => {
      const abort = new AbortController();
      const [span] = await traced.during(async () => {
        const answer = waiting.db('a').collection('b').find({}, { signal: abort.signal }).toArray();
        setTimeout(() => abort.abort(), 20);
        await answer.catch(() => undefined);
      });
      expect(span).toMatchObject({ name: 'find b', status: { code: SpanStatusCode.ERROR } });
      expect(span?.attributes['error.type']).toBe('AbortError');
    });

    it('ends as cut off when the application closes', async () => {
      let answer: Promise<unknown> | undefined;
      await traced.during(() => {
        answer = waiting
          .db('a')
          .collection('b')
          .findOne({})
          .catch(() => undefined);
        return new Promise(resolve => setTimeout(resolve, 20));
      });
      await traced.close();
      expect(traced.named('find b')[0]?.attributes['error.type']).toBe('application_closed');
      silent.disconnect();
      await answer;
    });
  });
});

/** Passes everything on to the server until it is silent. */
class SilentProxy {
  isSilent = false;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async start(target: number): Promise<SilentProxy> {
    const proxy: SilentProxy = new SilentProxy(
      createServer(socket => {
        const server = connect(target, '127.0.0.1');
        for (const [from, to] of [
          [socket, server],
          [server, socket],
        ] as const) {
          proxy.sockets.add(from);
          from.on('error', () => undefined).on('close', () => to.destroy());
          from.on('data', data => {
            if (!proxy.isSilent) to.write(data);
          });
        }
      }),
    );
    await once(proxy.server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  disconnect(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  stop(): void {
    this.server.close();
    this.disconnect();
  }
}
