import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import knex, { type Knex } from 'knex';
import { Model } from 'objection';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres } from './servers.js';
import { addressOf, databaseWithUsers, SECRET, type Settings } from './users-table.js';

class User extends Model {
  static override tableName = 'users';

  declare id: number;
  declare name: string;
}

/** A service as applications write it: it keeps Knex to itself. */
class Repository {
  constructor(private readonly db: Knex) {}

  first() {
    return this.db('users').first();
  }
}

describeWith(postgres, 'knex and objection')('a statement', () => {
  let settings: Settings;
  let db: Knex;
  const connect = () => knex({ client: 'pg', connection: { ...settings }, pool: { min: 0, max: 5 } });

  beforeAll(async () => {
    settings = await databaseWithUsers();
  });
  beforeEach(() => {
    db = connect();
  });
  afterEach(() => db.destroy());

  describe('through Knex', () => {
    let application: DatabaseApplication;
    beforeEach(async () => {
      application = await DatabaseApplication.start({ db });
    });
    afterEach(() => application.close());

    it('is a CLIENT span, named by its operation and its tables', async () => {
      const spans = await application.during(() => db('users').select('users.id').where({ id: 7 }));
      expect(namesOf(spans)).toEqual(['SELECT users']);
      expect(spans[0]).toMatchObject({ kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } });
      expect(spans[0]?.attributes).toEqual({
        ...addressOf(settings),
        'db.operation.name': 'SELECT',
        'db.collection.name': 'users',
        'db.query.summary': 'SELECT users',
        'db.query.text': 'select "users"."id" from "users" where "id" = $1',
      });
    });

    it('is one span also in transactions, savepoints and callbacks, in the request that made it', async () => {
      const requests = await application.concurrently(100, async index => {
        await db.raw('select pg_sleep(0.002), ?::int', [index]);
        const failing = db.transaction(async outer => {
          await outer('users')
            .where({ id: index + 1 })
            .update({ name: `new ${index}` });
          await outer.transaction(inner => inner('users').where({ id: -1 }).delete());
          if (index % 2) throw new Error('not this time');
        });
        await (index % 2 ? failing.catch(() => undefined) : failing);
        await new Promise<void>((resolve, reject) => {
          void db('users')
            .first()
            .asCallback((error: unknown) => (error ? reject(error) : resolve()));
        });
      });
      requests.forEach((spans, index) =>
        expect(namesOf(spans)).toEqual([
          'SELECT',
          'BEGIN',
          'UPDATE users',
          'SAVEPOINT',
          'DELETE users',
          'RELEASE SAVEPOINT',
          index % 2 ? 'ROLLBACK' : 'COMMIT',
          'SELECT users',
        ]),
      );
    });

    it('ends when its stream is read to its end, is left early, or fails', async () => {
      const spans = await application.during(async () => {
        for await (const row of db('users').select().stream()) expect(row).toBeDefined();
        for await (const row of db('users').select('id').stream({ highWaterMark: 5 })) {
          expect(row).toBeDefined();
          break;
        }
        await expect(async () => {
          for await (const row of db('users').select(db.raw('1 / (id - 3)')).stream()) expect(row).toBeDefined();
        }).rejects.toThrow();
      });
      expect(namesOf(spans)).toEqual(['SELECT users', 'SELECT users', 'SELECT users']);
      expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual([undefined, undefined, '22012']);
    });

    it('fails with SQLSTATE and shows no value, although its error repeats the statement', async () => {
      await expect(application.during(() => db('users').insert({ id: 1, name: SECRET }))).rejects.toThrow();
      const [span] = application.named('INSERT users');
      expect(span?.attributes).toMatchObject({ 'db.response.status_code': '23505', 'error.type': '23505' });
      expect(span?.status.message).toBe('duplicate key value violates unique constraint "users_pkey"');
      expect(application.named('request')[0]?.status.code).toBe(SpanStatusCode.ERROR);
      expect(application.exported).not.toContain(SECRET);
      for (const text of [`select '${SECRET}'::int`, `select * from "users" where name = '${SECRET} - ' and`, `select '${SECRET}`]) {
        await expect(application.during(() => db.raw(text))).rejects.toThrow(SECRET);
        expect(application.exported).not.toContain(SECRET);
      }
    });

    it('ends as failed when it takes too long and is cancelled', async () => {
      await expect(application.during(() => db.raw('select pg_sleep(20)').timeout(50, { cancel: true }))).rejects.toThrow('timeout');
      // The connection that cancels it has a span, too, which may end before.
      const span = await application.recorder.waitForSpan(({ attributes }) => String(attributes['db.query.text']).includes('pg_sleep'));
      expect(span.attributes['error.type']).toBe('57014');
    });

    it('has a span after the pool was closed and opened again, and in a copy of the object', async () => {
      await db.destroy();
      db.initialize();
      expect(namesOf(await application.during(() => db('users').first()))).toEqual(['SELECT users']);
      const copy = db.withUserParams({ tenant: 7 });
      expect(namesOf(await application.during(() => copy('users').first()))).toEqual(['SELECT users']);
    });

    it('has a span where a service holds the object, or after traceDatabase()', async () => {
      const other = connect();
      const repository = new Repository(other);
      const service = await DatabaseApplication.start({ repository });
      expect(namesOf(await service.during(() => repository.first()))).toEqual(['SELECT users']);
      await service.close();
      expect(traceDatabase(other)).toBe(other);
      expect(namesOf(await application.during(() => other('users').first()))).toEqual(['SELECT users']);
      await other.destroy();
    });

    it('has no span any more after the application is closed', async () => {
      await db('users').first();
      await application.close();
      application.recorder.clear();
      await db('users').first();
      expect(application.recorder.spans).toEqual([]);
      const { client } = db as unknown as { client: { pool: { emitter: { listenerCount(event: string): number } } } };
      expect(Object.hasOwn(client, 'acquireConnection')).toBe(false);
      expect(client.pool.emitter.listenerCount('acquireSuccess')).toBe(0);
    });
  });

  describe('through Objection', () => {
    it('is one span, where the model is a provider and where its Knex is one', async () => {
      const Bound = User.bindKnex(db);
      const all: Record<string, object>[] = [{ Bound }, { db }, { db, Bound }];
      for (const provided of all) {
        const application = await DatabaseApplication.start(provided);
        const requests = await application.concurrently(100, async index => {
          await Bound.query().findById(index + 1);
          await Bound.transaction(async trx => {
            await Bound.query(trx)
              .patch({ name: `other ${index}` })
              .where({ id: index + 1 });
          });
        });
        for (const spans of requests) expect(namesOf(spans)).toEqual(['SELECT users', 'BEGIN', 'UPDATE users', 'COMMIT']);
        await application.close();
      }
    });

    it('fails with SQLSTATE and shows no value', async () => {
      const application = await DatabaseApplication.start({ db });
      const Bound = User.bindKnex(db);
      await expect(application.during(() => Bound.query().insert({ id: 1, name: SECRET }))).rejects.toThrow();
      expect(application.named('INSERT users')[0]?.attributes['error.type']).toBe('23505');
      await expect(application.during(() => Bound.query().where('id', SECRET))).rejects.toThrow();
      expect(application.exported).not.toContain(SECRET);
      await application.close();
    });

    it('has a span after traceDatabase() of its model', async () => {
      const application = await DatabaseApplication.start({});
      const Bound = traceDatabase(User.bindKnex(db));
      expect(namesOf(await application.during(() => Bound.query().first()))).toEqual(['SELECT users']);
      await application.close();
    });
  });
});
