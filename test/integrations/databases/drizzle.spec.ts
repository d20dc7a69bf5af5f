import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { eq, sql } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres } from './servers.js';
import { addressOf, databaseWithUsers, SECRET, type Settings } from './users-table.js';

const users = pgTable('users', { id: integer().primaryKey(), name: text() });

/** A service as applications write it: it keeps the database to itself. */
class Repository {
  constructor(private readonly db: NodePgDatabase) {}

  all() {
    return this.db.select().from(users).limit(1);
  }
}

describeWith(postgres, 'drizzle-orm')('a statement through Drizzle', () => {
  let settings: Settings;
  let pool: pg.Pool;
  let db: NodePgDatabase<{ users: typeof users }> & { $client: pg.Pool };
  let application: DatabaseApplication;

  beforeAll(async () => {
    settings = await databaseWithUsers();
  });
  beforeEach(async () => {
    pool = new pg.Pool({ ...settings, max: 5 });
    db = drizzle(pool, { schema: { users } });
    application = await DatabaseApplication.start({ db });
  });
  afterEach(async () => {
    await application.close();
    await pool.end();
  });

  it('is a CLIENT span, named by its operation and its tables', async () => {
    const spans = await application.during(() => db.select({ id: users.id }).from(users).where(eq(users.id, 7)));
    expect(namesOf(spans)).toEqual(['SELECT users']);
    expect(spans[0]).toMatchObject({ kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } });
    expect(spans[0]?.attributes).toEqual({
      ...addressOf(settings),
      'db.operation.name': 'SELECT',
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
      'db.query.text': 'select "id" from "users" where "users"."id" = $1',
    });
  });

  it('is one span also in relational queries, in transactions and inside of savepoints, in the request that made it', async () => {
    const requests = await application.concurrently(100, async index => {
      await db.query.users.findFirst({ where: eq(users.id, index + 1) });
      await db.execute(sql`select pg_sleep(0.002)`);
      const failing = db.transaction(async outer => {
        await outer
          .update(users)
          .set({ name: `new ${index}` })
          .where(eq(users.id, index + 1));
        await outer.transaction(inner => inner.delete(users).where(eq(users.id, -1)));
        if (index % 2) outer.rollback();
      });
      await (index % 2 ? failing.catch(() => undefined) : failing);
    });
    requests.forEach((spans, index) =>
      expect(namesOf(spans)).toEqual([
        'SELECT users',
        'SELECT',
        'BEGIN',
        'UPDATE users',
        'SAVEPOINT',
        'DELETE users',
        'RELEASE SAVEPOINT',
        index % 2 ? 'ROLLBACK' : 'COMMIT',
      ]),
    );
  });

  it('fails with SQLSTATE and shows no value, although its error names the statement and its parameters', async () => {
    const insert = () => db.insert(users).values({ id: 1, name: SECRET });
    await expect(application.during(insert)).rejects.toMatchObject({ message: expect.stringContaining(SECRET) });
    const [span] = application.named('INSERT users');
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': '23505', 'error.type': '23505' });
    expect(span?.status.message).toBe('duplicate key value violates unique constraint "users_pkey"');
    expect(application.named('request')[0]?.status.code).toBe(SpanStatusCode.ERROR);
    await expect(application.during(() => db.execute(sql`select ${SECRET}::int`))).rejects.toThrow();
    await expect(application.during(() => db.execute(sql.raw(`select '${SECRET}'::int`)))).rejects.toThrow();
    expect(application.exported).not.toContain(SECRET);
  });

  it('has one span where its pool is a provider, too', async () => {
    const both = await DatabaseApplication.start({ pool, db });
    expect(namesOf(await both.during(() => db.select().from(users).limit(1)))).toEqual(['SELECT users']);
    await both.close();
  });

  it('has a span where a service holds the database, or after traceDatabase()', async () => {
    const held = new pg.Pool({ ...settings, max: 1 });
    const repository = new Repository(drizzle(held));
    const service = await DatabaseApplication.start({ repository });
    expect(namesOf(await service.during(() => repository.all()))).toEqual(['SELECT users']);
    await service.close();
    await held.end();
    const other = drizzle({ connection: { ...settings, max: 1 } });
    expect(traceDatabase(other)).toBe(other);
    expect(namesOf(await application.during(() => other.select().from(users).limit(1)))).toEqual(['SELECT users']);
    await other.$client.end();
  });

  it('has no span any more after the application is closed', async () => {
    await application.close();
    application.recorder.clear();
    await db.select().from(users).limit(1);
    expect(application.recorder.spans).toEqual([]);
    expect(Object.hasOwn(pool, 'connect')).toBe(false);
  });
});
