import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { createPool, type Pool } from 'mysql2';
import { createConnection } from 'mysql2/promise';
import { DataTypes, Sequelize } from 'sequelize';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, mariadb, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

describeWith(mariadb, 'mysql2')('a statement through mysql2', () => {
  let port: number;
  let pool: Pool;
  let application: DatabaseApplication;
  const settings = () => ({ host: '127.0.0.1', port, user: 'tester', database: 'test' });

  beforeAll(async () => {
    ({ port } = await serverOf(mariadb));
    const connection = await createConnection(settings());
    await connection.query('CREATE TABLE users (id int PRIMARY KEY, name varchar(100) UNIQUE)');
    for (let id = 1; id <= 200; id++) await connection.query('INSERT INTO users VALUES (?, ?)', [id, `name ${id}`]);
    await connection.end();
  });
  beforeEach(async () => {
    pool = createPool({ ...settings(), connectionLimit: 5 });
    application = await DatabaseApplication.start({ pool });
  });
  afterEach(async () => {
    await application.close();
    await pool.promise().end();
  });

  it.each(['query', 'execute'] as const)('by %s() is a CLIENT span, described by the stable conventions', async method => {
    const [span, ...others] = await application.during(() => {
      const send: (text: string, values: number[]) => Promise<unknown> = pool.promise()[method].bind(pool.promise());
      return send('SELECT name FROM users WHERE id = ?', [7]);
    });
    expect(others).toEqual([]);
    expect(span).toMatchObject({ name: 'SELECT users', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(span?.attributes).toEqual({
      'db.system.name': 'mysql',
      'db.namespace': 'test',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
      'db.query.text': 'SELECT name FROM users WHERE id = ?',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
  });

  it('belongs to the request that made it, whoever releases the connection it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      await pool.promise().query('SELECT SLEEP(0.002), ?', [index]);
      await new Promise<void>((resolve, reject) => {
        pool.query('SELECT 2', error => {
          if (error) reject(error);
          // The callback runs in the request, too.
          else pool.execute('SELECT 3', thrown => (thrown ? reject(thrown) : resolve()));
        });
      });
      const connection = await pool.promise().getConnection();
      try {
        await connection.beginTransaction();
        await connection.execute('UPDATE users SET name = ? WHERE id = ?', [`new ${index}`, index + 1]);
        await (index % 2 ? connection.commit() : connection.rollback());
      } finally {
        connection.release();
      }
    });
    requests.forEach((spans, index) => {
      const statements = ['SELECT', 'SELECT', 'SELECT', 'START TRANSACTION', 'UPDATE users', index % 2 ? 'COMMIT' : 'ROLLBACK'];
      expect(namesOf(spans)).toEqual(statements);
      for (const span of spans) expect(application.parentOf(span)?.name).toBe(`request ${index}`);
    });
  });

  it('fails with the code of the server, and shows no value of the statement or of the message', async () => {
    const failing = (text: string, values?: unknown[]) =>
      application.during(() =>
        pool
          .promise()
          .query(text, values)
          .catch(() => undefined),
      );
    const [span] = await failing('INSERT INTO users VALUES (1, ?)', [SECRET]);
    expect(span).toMatchObject({ name: 'INSERT users', status: { code: SpanStatusCode.ERROR } });
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': '1062', 'error.type': '1062' });
    expect(application.exported).not.toContain(SECRET);
    await application.during(() => pool.promise().query('UPDATE users SET name = ? WHERE id = 190', [SECRET]));
    const [duplicate] = await failing(`INSERT INTO users VALUES (900, '${SECRET}')`);
    expect(duplicate?.status.message).toBe("Duplicate entry ? for key 'name'");
    expect(application.exported).not.toContain(SECRET);
    await failing(`SELECT '${SECRET}`);
    expect(application.exported).not.toContain(SECRET);
    await expect(application.during(() => pool.promise().query(`SELECT 1 FRM '${SECRET}'`))).rejects.toThrow(SECRET);
    expect(application.exported).not.toContain(SECRET);
  });

  it('ends when its rows are streamed, and as failed when its connection is lost', async () => {
    const spans = await application.during(async () => {
      const rows = pool.query('SELECT * FROM users').stream();
      let count = 0;
      for await (const row of rows) count += row === undefined ? 0 : 1;
      expect(count).toBe(200);
    });
    expect(namesOf(spans)).toEqual(['SELECT users']);
    const [lost] = await application.during(async () => {
      const connection = await pool.promise().getConnection();
      const waiting = connection.query('SELECT SLEEP(20)').catch(() => undefined);
      await pool.promise().query('KILL ?', [connection.threadId]);
      await waiting;
      connection.destroy();
    });
    expect(lost?.status.code).toBe(SpanStatusCode.ERROR);
  });

  it('has no span any more after the application is closed, and none where databases are switched off', async () => {
    await application.close();
    application.recorder.clear();
    await pool.promise().query('SELECT 1');
    expect(application.recorder.spans).toEqual([]);
    const off = await DatabaseApplication.start({ pool }, { databases: false });
    expect(await off.during(() => pool.promise().query('SELECT 1'))).toEqual([]);
    await off.close();
  });

  it('through Sequelize has one span', async () => {
    const orm = new Sequelize({ ...settings(), username: 'tester', dialect: 'mysql', logging: false, pool: { max: 5 } });
    const User = orm.define('user', { id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.STRING }, { timestamps: false });
    const sequel = await DatabaseApplication.start({ orm });
    const requests = await sequel.concurrently(100, async index => {
      await orm.transaction(async transaction => {
        const user = await User.findByPk(index + 1, { transaction });
        await user?.update({ name: `sequelized ${index}` }, { transaction });
      });
    });
    const [failed] = await sequel.during(() => User.create({ id: 1, name: SECRET }).catch(() => undefined));
    const { exported } = sequel;
    await sequel.close();
    await orm.close();
    // The first ones also ask for the version of the server.
    for (const spans of requests) {
      const names = namesOf(spans).filter(name => name !== 'SELECT' && !name.startsWith('SET'));
      expect(names).toEqual(['START TRANSACTION', 'SELECT users', 'UPDATE users', 'COMMIT']);
    }
    expect(failed?.attributes['error.type']).toBe('1062');
    expect(exported).not.toContain(SECRET);
  });
});
