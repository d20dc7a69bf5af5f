import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

describeWith(postgres, 'pg')('a statement through pg', () => {
  let port: number;
  let pool: pg.Pool;
  let application: DatabaseApplication;
  const settings = () => ({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });

  beforeAll(async () => {
    ({ port } = await serverOf(postgres));
    const setUp = new pg.Client(settings());
    await setUp.connect();
    await setUp.query('CREATE TABLE users (id int PRIMARY KEY, name text UNIQUE)');
    await setUp.query(`INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 500) n`);
    await setUp.end();
  });
  beforeEach(async () => {
    pool = new pg.Pool({ ...settings(), max: 5 });
    application = await DatabaseApplication.start({ pool });
  });
  afterEach(async () => {
    await application.close();
    await pool.end();
  });

  it('is a CLIENT span, described by the stable conventions', async () => {
    const [span, ...others] = await application.during(() => pool.query('SELECT name FROM users WHERE id = $1', [7]));
    expect(others).toEqual([]);
    expect(span).toMatchObject({ name: 'SELECT users', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(span?.attributes).toEqual({
      'db.system.name': 'postgresql',
      'db.namespace': 'postgres',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
      'db.query.text': 'SELECT name FROM users WHERE id = $1',
      'server.address': '127.0.0.1',
      'server.port': port,
    });
  });

  it('keeps its results, its promise and its callbacks as they are', async () => {
    const client = await pool.connect();
    const promise = client.query('SELECT 1 AS one');
    expect(promise.constructor).toBe(Promise);
    expect((await promise).rows).toEqual([{ one: 1 }]);
    expect(client).toBeInstanceOf(pg.Client);
    expect(Object.keys(client)).not.toContain('query');
    const inCallback = await new Promise((resolve, reject) =>
      client.query('SELECT $1::int AS two', [2], (error, result) => (error ? reject(error) : resolve(result.rows))),
    );
    expect(inCallback).toEqual([{ two: 2 }]);
    const query = new pg.Query('SELECT 3 AS three');
    expect(client.query(query)).toBe(query);
    await new Promise(resolve => query.on('end', resolve));
    client.release();
    await expect(pool.query('SELECT nothing FROM nowhere')).rejects.toMatchObject({ code: '42P01' });
  });

  it('belongs to the request that made it, whoever releases the connection it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      await pool.query('SELECT pg_sleep(0.002), $1::int AS a', [index]);
      await new Promise<void>((resolve, reject) => pool.query('SELECT 2', error => (error ? reject(error) : resolve())));
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query({ name: 'by-id', text: 'UPDATE users SET name = $2 WHERE id = $1', values: [index + 1, `new ${index}`] });
        await client.query(index % 2 ? 'COMMIT' : 'ROLLBACK');
      } finally {
        client.release();
      }
    });
    requests.forEach((spans, index) =>
      expect(namesOf(spans)).toEqual(['SELECT', 'SELECT', 'BEGIN', 'UPDATE users', index % 2 ? 'COMMIT' : 'ROLLBACK']),
    );
  });

  it('makes calls in its callback children of the request, not of the statement', async () => {
    const spans = await application.during(
      () =>
        new Promise<void>((resolve, reject) =>
          pool.connect((error, client, release) => {
            if (client === undefined) {
              reject(error);
              return;
            }
            client.query('SELECT 1', () => {
              client.query('SELECT 2', () => {
                release();
                resolve();
              });
            });
          }),
        ),
    );
    expect(spans.map(span => application.parentOf(span)?.name)).toEqual(['request', 'request']);
  });

  it('fails with SQLSTATE, and shows no value of the statement or of the message', async () => {
    const failing = (text: string, values?: unknown[]) => application.during(() => pool.query(text, values).catch(() => undefined));
    const [span] = await failing(`INSERT INTO users VALUES (1, '${SECRET}')`);
    expect(span).toMatchObject({ name: 'INSERT users', status: { code: SpanStatusCode.ERROR } });
    expect(span?.attributes).toMatchObject({ 'db.response.status_code': '23505', 'error.type': '23505' });
    expect(span?.status.message).toBe('duplicate key value violates unique constraint "users_pkey"');
    expect(application.exported).not.toContain(SECRET);
    await failing('SELECT $1::int', [SECRET]);
    expect(application.exported).not.toContain(SECRET);
    await failing(`SELECT '${SECRET}'::int`);
    expect(application.exported).not.toContain(SECRET);
    await failing(`SELECT name FROM users WHERE '${SECRET}`);
    expect(application.exported).not.toContain(SECRET);
  });

  it('also shows no value on the span of the request that throws its error', async () => {
    await expect(application.during(() => pool.query(`SELECT '${SECRET}'::int`))).rejects.toThrow(SECRET);
    expect(application.named('request')[0]?.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.exported).not.toContain(SECRET);
  });

  it('ends when a cursor is read to its end, is closed early, or fails', async () => {
    const client = await pool.connect();
    const whole = await application.during(async () => {
      const cursor = client.query(new Cursor('SELECT * FROM users LIMIT 30'));
      while ((await cursor.read(10)).length > 0);
    });
    expect(namesOf(whole)).toEqual(['SELECT users']);
    const early = await application.during(async () => {
      const cursor = client.query(new Cursor('SELECT * FROM users'));
      await cursor.read(10);
      await cursor.close();
    });
    expect(namesOf(early)).toEqual(['SELECT users']);
    const [failed] = await application.during(() =>
      client
        .query(new Cursor('SELECT 1 / (id - 3) FROM users'))
        .read(10)
        .catch(() => undefined),
    );
    expect(failed?.attributes['error.type']).toBe('22012');
    client.release();
  });

  it('ends when a stream is read to its end or destroyed, and its listeners run in the request', async () => {
    const client = await pool.connect();
    const spans = await application.during(async () => {
      for await (const row of client.query(new QueryStream('SELECT * FROM users', [], { batchSize: 50 }))) expect(row).toBeDefined();
      const stream = client.query(new QueryStream('SELECT id FROM users', [], { batchSize: 50 }));
      for await (const row of stream) {
        expect(row).toBeDefined();
        break;
      }
      if (!stream.closed) await new Promise(resolve => stream.once('close', resolve));
    });
    expect(namesOf(spans)).toEqual(['SELECT users', 'SELECT users']);
    client.release();
  });

  it('ends as failed when its connection is lost, cancelled or released with an error', async () => {
    const [lost] = await application.during(async () => {
      const client = await pool.connect();
      client.on('error', () => undefined);
      const waiting = client.query('SELECT pg_sleep(20)').catch(() => undefined);
      setTimeout(() => client.release(true), 30);
      await waiting;
    });
    expect(lost?.status.code).toBe(SpanStatusCode.ERROR);
    const spans = await application.during(async () => {
      const client = await pool.connect();
      const { processID } = client as unknown as { processID: number };
      const waiting = client.query('SELECT pg_sleep(20)').catch(() => undefined);
      await pool.query('SELECT pg_cancel_backend($1)', [processID]);
      await waiting;
      client.release();
    });
    expect(spans[0]?.attributes['error.type']).toBe('57014');
  });

  it('that still runs when the application closes ends as cut off', async () => {
    const client = await pool.connect();
    await application.during(async () => {
      await client.query(new Cursor('SELECT * FROM users')).read(1);
    });
    await application.close();
    const span = application.named('SELECT users')[0];
    expect(span?.attributes['error.type']).toBe('application_closed');
    client.release(true);
  });

  it('has no span any more after the application is closed', async () => {
    await application.close();
    application.recorder.clear();
    await pool.query('SELECT 1');
    expect(application.recorder.spans).toEqual([]);
    const client = await pool.connect();
    expect(Object.hasOwn(client, 'query')).toBe(false);
    expect(Object.hasOwn(pool, 'connect')).toBe(false);
    client.release();
  });

  it('has a span also outside of a request, and none where the user ignores it or switches databases off', async () => {
    application.recorder.clear();
    await pool.query('SELECT 1');
    expect(namesOf([...application.recorder.spans])).toEqual(['SELECT']);
    const quiet = await DatabaseApplication.start({ pool }, { databases: { ignore: ['SELECT users', /^BEGIN/] } });
    const off = await DatabaseApplication.start({ pool }, { databases: false });
    const statements = async () => {
      await pool.query('SELECT * FROM users LIMIT 1');
      await pool.query('BEGIN');
      await pool.query('DELETE FROM users WHERE id = -1');
    };
    expect(namesOf(await quiet.during(statements))).toEqual(['DELETE users']);
    expect(namesOf(await off.during(statements))).toEqual([]);
    await quiet.close();
    await off.close();
  });

  it('shows its other parameters where one cannot be read', async () => {
    const open = await DatabaseApplication.start({ pool }, { databases: { captureParameters: true } });
    const unreadable = { toPostgres: () => 'a', toJSON: () => missing.member };
    const [span] = await open.during(() => pool.query('SELECT $1::text, $2::text, $3::text', ['a', unreadable, 'b']));
    await open.close();
    expect(span?.attributes).toMatchObject({
      'db.query.parameter.0': 'a',
      'db.query.parameter.1': '<unreadable>',
      'db.query.parameter.2': 'b',
    });
  });

  it('shows its text and its parameters as the options say', async () => {
    const open = await DatabaseApplication.start({ pool }, { databases: { captureParameters: true, queryText: false } });
    const [span] = await open.during(() => pool.query('SELECT $1::int, $2::text', [7, 'seven']));
    expect(span?.attributes).toMatchObject({ 'db.query.parameter.0': '7', 'db.query.parameter.1': 'seven' });
    expect(span?.attributes).not.toHaveProperty('db.query.text');
    await open.close();
  });

  it('also has a span in listeners and hooks for new connections, and belongs to the request that needs one', async () => {
    const early = new pg.Pool({ ...settings(), onConnect: client => void client.query('SELECT 1') });
    early.on('connect', client => void client.query('SELECT 2'));
    traceDatabase(early);
    const spans = await application.during(() => early.query('SELECT 3'));
    await early.end();
    expect(spans.map(({ attributes }) => attributes['db.query.text'])).toEqual(['SELECT ?', 'SELECT ?', 'SELECT ?']);
  });

  it('ends, and is not kept in memory, where its client is thrown away before anything answers', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await application.during(() => {
      const client = traceDatabase(new pg.Client(settings()));
      // It never connects.
      void client.query('SELECT 1');
    });
    while (application.named('SELECT').length === 0) {
      await new Promise(resolve => setTimeout(resolve, 200));
      collectGarbage();
    }
    const [{ status, events } = { status: undefined, events: [] }] = application.named('SELECT');
    expect(status).toEqual({ code: SpanStatusCode.UNSET });
    expect(events.map(({ name }) => name)).toEqual(['query.unsettled']);
  }, 40_000);

  it('through a client that is no provider is traced after traceDatabase()', async () => {
    const client = traceDatabase(new pg.Client(settings()));
    await client.connect();
    expect(namesOf(await application.during(() => client.query('SELECT 1')))).toEqual(['SELECT']);
    await client.end();
    expect(() => traceDatabase({})).toThrow('traceDatabase() got');
  });
});

const missing = undefined as unknown as { readonly member: unknown };
