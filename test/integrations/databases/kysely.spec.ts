import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { type Generated, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres } from './servers.js';
import { addressOf, databaseWithUsers, SECRET, type Settings } from './users-table.js';

interface Tables {
  users: { id: Generated<number>; name: string };
}

describeWith(postgres, 'kysely')('a statement through Kysely', () => {
  let settings: Settings;
  let pool: pg.Pool;
  let db: Kysely<Tables>;
  let application: DatabaseApplication;

  beforeAll(async () => {
    settings = await databaseWithUsers();
  });
  beforeEach(async () => {
    pool = new pg.Pool({ ...settings, max: 5 });
    db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) });
    application = await DatabaseApplication.start({ db });
  });
  afterEach(async () => {
    await application.close();
    await db.destroy();
  });

  it('is a CLIENT span, which knows its server if the pool is a provider, too', async () => {
    const select = () => db.selectFrom('users').select('users.id').where('id', '=', 7).execute();
    const [alone, ...others] = await application.during(select);
    expect(others).toEqual([]);
    expect(alone).toMatchObject({ name: 'SELECT users', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } });
    const attributes = {
      'db.system.name': 'postgresql',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
      'db.query.text': 'select "users"."id" from "users" where "id" = $1',
    };
    expect(alone?.attributes).toEqual(attributes);
    const both = await DatabaseApplication.start({ db, pool });
    const spans = await both.during(select);
    expect(spans.map(span => span.attributes)).toEqual([{ ...attributes, ...addressOf(settings) }]);
    await both.close();
  });

  it('is one span also in schemas, transactions and savepoints, in the request that made it', async () => {
    const requests = await application.concurrently(100, async index => {
      await db.withSchema('public').selectFrom('users').selectAll().limit(1).execute();
      await sql`select pg_sleep(0.002)`.execute(db);
      const failing = db.transaction().execute(async trx => {
        await trx
          .updateTable('users')
          .set({ name: `new ${index}` })
          .where('id', '=', index + 1)
          .execute();
        if (index % 2) throw new Error('not this time');
      });
      await (index % 2 ? failing.catch(() => undefined) : failing);
      const trx = await db.startTransaction().execute();
      const inner = await trx.savepoint('one').execute();
      await inner.rollbackToSavepoint('one').execute();
      await trx.commit().execute();
    });
    requests.forEach((spans, index) =>
      expect(namesOf(spans)).toEqual([
        'SELECT public.users',
        'SELECT',
        'BEGIN',
        'UPDATE users',
        index % 2 ? 'ROLLBACK' : 'COMMIT',
        'BEGIN',
        'SAVEPOINT',
        'ROLLBACK TO SAVEPOINT',
        'COMMIT',
      ]),
    );
  });

  it('ends when its stream is read to its end, is left early, or fails', async () => {
    for (const provided of [{ db }, { db, pool }] as Record<string, object>[]) {
      const streaming = await DatabaseApplication.start(provided);
      const spans = await streaming.during(async () => {
        for await (const row of db.selectFrom('users').selectAll().stream()) expect(row).toBeDefined();
        for await (const row of db.selectFrom('users').select('id').stream()) {
          expect(row).toBeDefined();
          break;
        }
        await expect(async () => {
          for await (const row of db
            .selectFrom('users')
            .select(sql`1 / (id - 3)`.as('n'))
            .stream())
            expect(row).toBeDefined();
        }).rejects.toThrow();
      });
      expect(namesOf(spans)).toEqual(['SELECT users', 'SELECT users', 'SELECT users']);
      expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual([undefined, undefined, '22012']);
      await streaming.close();
    }
  });

  it('fails with SQLSTATE and shows no value', async () => {
    await expect(application.during(() => db.insertInto('users').values({ id: 1, name: SECRET }).execute())).rejects.toThrow();
    const [span] = application.named('INSERT users');
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': '23505', 'error.type': '23505' });
    await expect(application.during(() => sql.raw(`select '${SECRET}'::int`).execute(db))).rejects.toThrow(SECRET);
    expect(application.exported).not.toContain(SECRET);
  });

  it('has a span after traceDatabase(), and none after the application is closed', async () => {
    const other = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: new pg.Pool({ ...settings, max: 1 }) }) });
    expect(traceDatabase(other)).toBe(other);
    const first = (from: Kysely<Tables>) => from.selectFrom('users').selectAll().limit(1).execute();
    expect(namesOf(await application.during(() => first(other)))).toEqual(['SELECT users']);
    await other.destroy();
    const copy = db.withSchema('public');
    await first(copy);
    await application.close();
    application.recorder.clear();
    await first(db);
    await first(copy);
    expect(application.recorder.spans).toEqual([]);
    expect(Object.hasOwn(db.getExecutor(), 'provideConnection')).toBe(false);
  });
});
