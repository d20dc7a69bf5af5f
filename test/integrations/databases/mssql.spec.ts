import { createRequire } from 'node:module';
import { setTimeout } from 'node:timers/promises';
import { DatabaseApplication, namesOf } from './database-application.js';

// The package's own pool and requests run here. Only the driver below them is replaced, because SQL Server cannot be installed freely.
type Answer = (error: Error | null, recordsets?: unknown[], output?: object, rowsAffected?: number[]) => void;
interface Base {
  ConnectionPool: new (settings: object) => Pool;
  Request: new (pool: object) => Request;
  driver: object;
}
interface Pool {
  connect(): Promise<Pool>;
  request(): Request;
  acquire(request: object, done: (error: Error | null, connection: object) => void): unknown;
  release(connection: object): void;
  close(): Promise<void>;
}
interface Request {
  query(text: string): Promise<unknown>;
  query(text: string, done: (error: Error | null) => void): void;
  batch(text: string): Promise<unknown>;
  execute(procedure: string): Promise<unknown>;
}

const require = createRequire(import.meta.url);
const base = require('mssql/lib/base/index.js') as Base;
const SECRET = 's3cr3t-of-alice';

class FakePool extends base.ConnectionPool {
  async _poolCreate() {
    await setTimeout(1);
    return {};
  }
  _poolValidate() {
    return true;
  }
  _poolDestroy() {
    return Promise.resolve();
  }
}

class FakeRequest extends base.Request {
  _query(text: string, done: Answer) {
    const { parent } = this as unknown as { parent: Pool };
    parent.acquire(this, (_error, connection) => {
      setTimeout(2).then(() => {
        parent.release(connection);
        if (!text.includes('nowhere')) done(null, [[]], {}, [1]);
        else done(Object.assign(new Error(`Conversion failed when converting the value '${SECRET}'.`), { number: 245, lineNumber: 1 }));
      }, done);
    });
  }
  _batch(text: string, done: Answer) {
    this._query(text, done);
  }
  _execute(procedure: string, done: Answer) {
    this._query(procedure, done);
  }
}

describe('a statement through mssql', () => {
  let pool: Pool;
  let application: DatabaseApplication;

  beforeEach(async () => {
    Object.assign(base.driver, { name: 'fake', ConnectionPool: FakePool, Request: FakeRequest });
    application = await DatabaseApplication.start({});
    pool = await new FakePool({ server: 'db.test', port: 1433, database: 'shop', pool: { max: 5 } }).connect();
  });
  afterEach(async () => {
    await pool.close();
    await application.close();
  });

  it('is a CLIENT span, described by the stable conventions', async () => {
    const [span, ...others] = await application.during(() => pool.request().query(`SELECT name FROM dbo.users WHERE name = N'${SECRET}'`));
    expect(others).toEqual([]);
    expect(span?.name).toBe('SELECT dbo.users');
    expect(span?.attributes).toEqual({
      'db.system.name': 'microsoft.sql_server',
      'db.namespace': 'shop',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'dbo.users',
      'db.query.summary': 'SELECT dbo.users',
      'db.query.text': 'SELECT name FROM dbo.users WHERE name = ?',
      'server.address': 'db.test',
      'server.port': 1433,
    });
  });

  it('belongs to the request that made it, whoever releases the connection it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      await pool.request().query(`SELECT ${index} FROM users`);
      await new Promise<void>((resolve, reject) => {
        pool.request().query('DELETE FROM users', error => {
          if (error) reject(error);
          else
            pool
              .request()
              .batch('UPDATE users SET id = 1')
              .then(() => resolve(), reject);
        });
      });
      await pool.request().execute('dbo.tidy');
    });
    requests.forEach((spans, index) => {
      expect(namesOf(spans)).toEqual(['SELECT users', 'DELETE users', 'UPDATE users', 'EXECUTE dbo.tidy']);
      for (const span of spans) expect(application.parentOf(span)?.name).toBe(`request ${index}`);
    });
  });

  it('fails with the number of the error, and shows no value', async () => {
    await expect(application.during(() => pool.request().query('SELECT * FROM nowhere'))).rejects.toThrow(SECRET);
    const [span] = application.named('SELECT nowhere');
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': '245', 'error.type': '245' });
    expect(application.exported).not.toContain(SECRET);
  });
});
