import { type EntityManager, EntitySchema, MikroORM } from '@mikro-orm/postgresql';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres } from './servers.js';
import { addressOf, databaseWithUsers, SECRET, type Settings } from './users-table.js';

interface User {
  id: number;
  name: string;
}

const users = new EntitySchema<User>({
  name: 'User',
  tableName: 'users',
  properties: { id: { type: 'number', primary: true }, name: { type: 'string' } },
});

/** A service as applications write it: it keeps the entity manager to itself. */
class Repository {
  constructor(private readonly em: EntityManager) {}

  first() {
    return this.em.fork().findOne(users, { id: 1 });
  }
}

describeWith(postgres, '@mikro-orm/postgresql')('a statement through MikroORM', () => {
  let settings: Settings;
  let orm: MikroORM;
  let application: DatabaseApplication;
  const connect = () => {
    const { host, port, user, database: dbName } = settings;
    return MikroORM.init({
      entities: [users],
      host,
      port,
      user,
      dbName,
      pool: { min: 0, max: 5 },
      discovery: { warnWhenNoEntities: false },
    });
  };

  beforeAll(async () => {
    settings = await databaseWithUsers();
  });
  beforeEach(async () => {
    orm = await connect();
    application = await DatabaseApplication.start({ orm });
  });
  afterEach(async () => {
    await application.close();
    await orm.close();
  });

  it('is a CLIENT span, named by its operation and its tables', async () => {
    const spans = await application.during(() => orm.em.fork().findOne(users, { id: 7 }));
    expect(namesOf(spans)).toEqual(['SELECT users']);
    expect(spans[0]?.attributes).toMatchObject({
      ...addressOf(settings),
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
    });
  });

  it('is one span also in transactions, in the request that made it', async () => {
    const requests = await application.concurrently(100, async index => {
      await orm.em.fork().transactional(async em => {
        const user = await em.findOneOrFail(users, { id: index + 1 });
        user.name = `new ${index}`;
      });
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['BEGIN', 'SELECT users', 'UPDATE users', 'COMMIT']);
  });

  it('fails with SQLSTATE and shows no value, although its error repeats the statement', async () => {
    await expect(application.during(() => orm.em.fork().insert(users, { id: 1, name: SECRET }))).rejects.toThrow(SECRET);
    expect(application.named('INSERT users')[0]?.attributes['error.type']).toBe('23505');
    expect(application.exported).not.toContain(SECRET);
    await expect(application.during(() => orm.em.getConnection().execute(`select '${SECRET} - x'::int`))).rejects.toThrow(SECRET);
    expect(application.named('SELECT')[0]?.status.message).toBe('invalid input syntax for type integer: ?');
    expect(application.exported).not.toContain(SECRET);
    // The detail of this error is the whole row, without quotes.
    await expect(application.during(() => orm.em.fork().insert(users, { id: null as never, name: SECRET }))).rejects.toThrow(SECRET);
    expect(application.exported).not.toContain(SECRET);
  });

  it('has a span after the ORM has connected again, and one span where a service holds the entity manager', async () => {
    await orm.reconnect();
    const repository = new Repository(orm.em);
    const service = await DatabaseApplication.start({ repository, orm });
    expect(namesOf(await service.during(() => repository.first()))).toEqual(['SELECT users']);
    await service.close();
  });

  it('has a span after traceDatabase(), and none after the application is closed', async () => {
    const other = await connect();
    expect(traceDatabase(other)).toBe(other);
    expect(namesOf(await application.during(() => other.em.fork().findOne(users, { id: 1 })))).toEqual(['SELECT users']);
    await other.close();
    await application.close();
    application.recorder.clear();
    await orm.em.fork().findOne(users, { id: 1 });
    expect(application.recorder.spans).toEqual([]);
  });
});
