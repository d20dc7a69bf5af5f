import { DataTypes, Sequelize } from 'sequelize';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

describeWith(postgres, 'Sequelize over pg')('a statement through Sequelize', () => {
  let orm: Sequelize;
  let application: DatabaseApplication;
  const start = async () => {
    const { port } = await serverOf(postgres);
    const sequelize = new Sequelize({
      dialect: 'postgres',
      host: '127.0.0.1',
      port,
      username: 'postgres',
      database: 'postgres',
      logging: false,
      pool: { max: 5 },
    });
    const User = sequelize.define('user', { name: { type: DataTypes.STRING, unique: true } }, { timestamps: false });
    return { sequelize, User };
  };
  let User: Awaited<ReturnType<typeof start>>['User'];

  beforeAll(async () => {
    const { sequelize, User: Users } = await start();
    await sequelize.sync();
    await Users.bulkCreate(Array.from({ length: 120 }, (_, index) => ({ name: `name ${index}` })));
    await sequelize.close();
  });
  beforeEach(async () => {
    ({ sequelize: orm, User } = await start());
    application = await DatabaseApplication.start({ orm });
  });
  afterEach(async () => {
    await application.close();
    await orm.close();
  });

  it('has one span, below the request that made it, in transactions of 100 requests with 5 connections', async () => {
    await orm.authenticate();
    const requests = await application.concurrently(100, index =>
      orm.transaction(async transaction => {
        const user = await User.findByPk(index + 1, { transaction });
        await user?.update({ name: `new ${index}` }, { transaction });
      }),
    );
    // Sequelize asks each new connection for the types of the database.
    for (const spans of requests) {
      const names = namesOf(spans).filter(name => !name.startsWith('SET') && !name.includes('pg_'));
      expect(names).toEqual(['START TRANSACTION', 'SELECT users', 'UPDATE users', 'COMMIT']);
    }
  });

  it('shows neither a value nor a replacement, also when it fails', async () => {
    const [created] = await application.during(() => User.create({ name: SECRET }));
    expect(created?.attributes['db.query.text']).not.toContain(SECRET);
    const spans = await application.during(() => User.create({ name: SECRET }).catch(() => undefined));
    expect(spans.at(-1)?.attributes['error.type']).toBe('23505');
    await application.during(() => orm.query('SELECT :name::int', { replacements: { name: SECRET } }).catch(() => undefined));
    expect(application.exported).not.toContain(SECRET);
    await application.during(() => User.create({ name: SECRET })).catch(() => undefined);
    expect(application.exported).not.toContain(SECRET);
  });

  it('has no span after the application is closed, until traceDatabase() is called', async () => {
    await orm.authenticate();
    await application.close();
    application.recorder.clear();
    await orm.query('SELECT 1');
    expect(application.recorder.spans).toEqual([]);
    traceDatabase(orm);
    application = await DatabaseApplication.start({});
    expect(namesOf(await application.during(() => orm.query('SELECT 1')))).toEqual(['SELECT']);
  });
});
