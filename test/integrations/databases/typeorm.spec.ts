import type { Readable } from 'node:stream';
import { type Provider } from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import * as current from 'typeorm';
import * as previous from 'typeorm-0.3';
import { traceDatabase } from '../../../lib/index.js';
import { OwnProcess, programOf } from '../../own-process.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, mariadb, postgres, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

interface User {
  id: number;
  name: string;
}

/** The parts of both versions that the specs use have the same types. */
const versions: readonly (readonly [string, typeof current])[] = [
  ['1.1', current],
  ['0.3', previous as unknown as typeof current],
];

function usersOf({ EntitySchema }: typeof current) {
  return new EntitySchema<User>({
    name: 'User',
    tableName: 'users',
    columns: { id: { type: 'int', primary: true }, name: { type: 'varchar', length: 100, unique: true } },
  });
}

/** Starts the application with a connected data source, and fills its table. */
async function startWith(dataSource: current.DataSource, users: current.EntitySchema<User>, rows = 20): Promise<DatabaseApplication> {
  if (!dataSource.isInitialized) await dataSource.initialize();
  await dataSource.synchronize(true);
  await dataSource.getRepository(users).insert(Array.from({ length: rows }, (_, index) => ({ id: index + 1, name: `name ${index + 1}` })));
  return DatabaseApplication.start({ dataSource });
}

describe.each(versions)('a statement through TypeORM %s', (_version, library) => {
  const users = usersOf(library);

  describeWith(postgres, 'typeorm')('over pg', () => {
    let port: number;
    let dataSource: current.DataSource;
    let application: DatabaseApplication;
    const options = () =>
      ({
        type: 'postgres',
        host: '127.0.0.1',
        port,
        username: 'postgres',
        database: 'postgres',
        entities: [users],
        poolSize: 5,
      }) satisfies current.DataSourceOptions;

    beforeAll(async () => {
      ({ port } = await serverOf(postgres));
    });
    beforeEach(async () => {
      dataSource = new library.DataSource(options());
      application = await startWith(dataSource, users, 300);
    });
    afterEach(async () => {
      await application.close();
      if (dataSource.isInitialized) await dataSource.destroy();
    });

    it('is one CLIENT span, described by the stable conventions', async () => {
      const [span, ...others] = await application.during(() => dataSource.query('SELECT name FROM users WHERE id = $1', [7]));
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

    it('belongs to its request: repositories, query builders, transactions and savepoints, on five connections', async () => {
      const requests = await application.concurrently(100, async index => {
        const repository = dataSource.getRepository(users);
        expect(await repository.findOneBy({ id: index + 1 })).toEqual({ id: index + 1, name: `name ${index + 1}` });
        await dataSource
          .createQueryBuilder()
          .update(users)
          .set({ name: `new ${index}` })
          .where('id = :id', { id: index + 1 })
          .execute();
        const work = dataSource.transaction(async manager => {
          await manager.getRepository(users).delete({ id: index + 101 });
          await manager.transaction(inner => inner.query('SELECT pg_sleep(0.001)'));
          if (index % 2 === 1) throw new Error('roll back');
        });
        await work.catch(() => undefined);
      });
      const inTransaction = ['START TRANSACTION', 'DELETE users', 'SAVEPOINT', 'SELECT', 'RELEASE SAVEPOINT'];
      requests.forEach((spans, index) =>
        expect(namesOf(spans)).toEqual(['SELECT users', 'UPDATE users', ...inTransaction, index % 2 ? 'ROLLBACK' : 'COMMIT']),
      );
    });

    it('fails with SQLSTATE, and shows no value, statement or parameter, also on the span of the request', async () => {
      const insert = () => dataSource.getRepository(users).insert({ id: 1, name: SECRET });
      const [span] = await application.during(() => insert().catch(() => undefined));
      expect(span).toMatchObject({ name: 'INSERT users', status: { code: SpanStatusCode.ERROR } });
      expect(span?.attributes).toMatchObject({ 'db.response.status_code': '23505', 'error.type': '23505' });
      expect(application.exported).not.toContain(SECRET);
      await expect(application.during(insert)).rejects.toBeInstanceOf(library.QueryFailedError);
      expect(application.exported).not.toContain(SECRET);
      await expect(application.during(() => dataSource.query(`SELECT '${SECRET}'::int`))).rejects.toThrow(SECRET);
      expect(application.exported).not.toContain(SECRET);
      const wrapped = () => insert().catch((cause: unknown) => Promise.reject(new Error('not saved', { cause })));
      await expect(application.during(wrapped)).rejects.toThrow('not saved');
      expect(application.exported).not.toContain(SECRET);
    });

    it('ends when its stream is read, is destroyed early, or fails; listeners of the stream run in the request', async () => {
      const open = (where: string) => dataSource.getRepository(users).createQueryBuilder('u').where(where).stream();
      const spans = await application.during(async () => {
        let rows = 0;
        for await (const row of (await open('u.id > 0')) as AsyncIterable<unknown>) rows += row === undefined ? 0 : 1;
        expect(rows).toBe(300);
        for await (const row of (await open('u.id > 2')) as AsyncIterable<unknown>) if (row !== undefined) break;
        const early = (await open('u.id > 1')) as Readable;
        await new Promise<void>(resolve => {
          early.once('data', () => {
            // Without a pause, the stream may be read to its end before the statement is answered.
            early.pause();
            void dataSource.query('SELECT 1').then(() => early.destroy());
          });
          early.once('close', resolve);
        });
        const failing = await open('1 / (u.id - 3) > 5');
        await new Promise(resolve => failing.once('error', resolve).resume());
      });
      expect(namesOf(spans).sort()).toEqual(['SELECT', 'SELECT users', 'SELECT users', 'SELECT users', 'SELECT users']);
      expect(spans.map(span => span.attributes['error.type'])).toEqual([undefined, undefined, undefined, undefined, '22012']);
      expect(spans.map(span => application.parentOf(span)?.name)).toEqual(spans.map(() => 'request'));
    });

    it('ends as cut off when the application closes while its stream is open', async () => {
      await application.during(async () => {
        await dataSource.getRepository(users).createQueryBuilder('u').stream();
      });
      await application.close();
      expect(application.named('SELECT users')[0]?.attributes['error.type']).toBe('application_closed');
    });

    it('also has a span through query runners and connections that were there before', async () => {
      await application.close();
      const runner = dataSource.createQueryRunner();
      const client = (await runner.connect()) as { query(text: string): Promise<unknown> };
      application = await DatabaseApplication.start({ dataSource });
      expect(namesOf(await application.during(() => runner.query('SELECT 1')))).toEqual(['SELECT']);
      expect(namesOf(await application.during(() => client.query('SELECT 2')))).toEqual(['SELECT']);
      await runner.release();
    });

    it('has a span after the data source is connected later, or again', async () => {
      await application.close();
      await dataSource.destroy();
      application = await DatabaseApplication.start({ dataSource });
      for (const _round of [1, 2]) {
        await dataSource.initialize();
        const [span, ...others] = await application.during(() => dataSource.query('SELECT 1'));
        expect(others).toEqual([]);
        expect(span?.attributes).toMatchObject({ 'db.namespace': 'postgres', 'server.port': port });
        await dataSource.destroy();
      }
    });

    it('of a migration or of the schema has a span', async () => {
      class AddAge1700000000000 {
        up(runner: current.QueryRunner): Promise<unknown> {
          return runner.query('ALTER TABLE users ADD COLUMN age int');
        }
        down(runner: current.QueryRunner): Promise<unknown> {
          return runner.query('ALTER TABLE users DROP COLUMN age');
        }
      }
      const migrating = new library.DataSource({ ...options(), migrations: [AddAge1700000000000], migrationsTableName: 'done' });
      const other = await DatabaseApplication.start({ migrating });
      await migrating.initialize();
      expect(namesOf(await other.during(() => migrating.runMigrations()))).toEqual(
        expect.arrayContaining(['CREATE TABLE done', 'START TRANSACTION', 'ALTER TABLE users', 'INSERT done', 'COMMIT']),
      );
      expect(namesOf(await other.during(() => migrating.synchronize(true)))).toContain('CREATE TABLE users');
      await migrating.query('DROP TABLE IF EXISTS done');
      await other.close();
      await migrating.destroy();
    });

    it('knows the server that it was sent to, with replication', async () => {
      const { username, database } = options();
      const place = { url: `postgres://${username}:pass@127.0.0.1:${port}/${database}` };
      const replicated = new library.DataSource({
        type: 'postgres',
        replication: { master: place, slaves: [{ ...place, url: place.url.replace('127.0.0.1', 'localhost') }] },
        entities: [users],
      });
      await replicated.initialize();
      const other = await DatabaseApplication.start({ replicated });
      const [read, write, ...more] = await other.during(async () => {
        await replicated.getRepository(users).findOneBy({ id: 1 });
        await replicated.getRepository(users).update({ id: 1 }, { name: 'other' });
      });
      expect(more).toEqual([]);
      expect(read?.attributes).toMatchObject({ 'server.address': 'localhost', 'server.port': port, 'db.namespace': 'postgres' });
      expect(write?.attributes).toMatchObject({ 'server.address': '127.0.0.1', 'server.port': port, 'db.namespace': 'postgres' });
      await other.close();
      await replicated.destroy();
    });

    it('has no span any more after the application is closed, and the library is as before', async () => {
      const runner = dataSource.createQueryRunner();
      const prototype = Object.getPrototypeOf(runner) as { query: Function };
      const traced = prototype.query;
      await application.close();
      expect(prototype.query).not.toBe(traced);
      expect(Object.hasOwn(dataSource.driver, 'createQueryRunner')).toBe(false);
      application.recorder.clear();
      await runner.query('SELECT 1');
      await dataSource.query('SELECT 1');
      expect(application.recorder.spans).toEqual([]);
      await runner.release();
    });

    it('has no span if its data source belongs to another application', async () => {
      const other = new library.DataSource(options());
      await other.initialize();
      // Its pool is not known either.
      expect(namesOf(await application.during(() => other.query('SELECT 1')))).toEqual([]);
      traceDatabase(other);
      expect(namesOf(await application.during(() => other.query('SELECT 1')))).toEqual(['SELECT']);
      await other.destroy();
    });

    it('keeps its promise and its result as they are', async () => {
      const promise = dataSource.createQueryRunner().query('SELECT 1 AS one');
      expect(promise.constructor).toBe(Promise);
      expect(await promise).toEqual([{ one: 1 }]);
      const runner = dataSource.createQueryRunner();
      expect(Object.keys(runner)).not.toContain('query');
      expect((await runner.query('SELECT 1 AS one', [], true)).records).toEqual([{ one: 1 }]);
      await runner.release();
    });
  });

  describeWith(mariadb, 'typeorm')('over mysql2', () => {
    let port: number;
    let dataSource: current.DataSource;
    let application: DatabaseApplication;

    beforeAll(async () => {
      ({ port } = await serverOf(mariadb));
    });
    beforeEach(async () => {
      const url = `mysql://tester@127.0.0.1:${port}/test`;
      dataSource = new library.DataSource({ type: 'mariadb', url, entities: [users], poolSize: 5 });
      application = await startWith(dataSource, users, 300);
    });
    afterEach(async () => {
      await application.close();
      await dataSource.destroy();
    });

    it('is one CLIENT span', async () => {
      const [span, ...others] = await application.during(() => dataSource.query('SELECT name FROM users WHERE id = ?', [7]));
      expect(others).toEqual([]);
      expect(span?.kind).toBe(SpanKind.CLIENT);
      expect(span?.attributes).toEqual({
        'db.system.name': 'mariadb',
        'db.namespace': 'test',
        'db.operation.name': 'SELECT',
        'db.collection.name': 'users',
        'db.query.summary': 'SELECT users',
        'db.query.text': 'SELECT name FROM users WHERE id = ?',
        'server.address': '127.0.0.1',
        'server.port': port,
      });
    });

    it('belongs to its request, on five connections', async () => {
      const requests = await application.concurrently(100, async index => {
        await dataSource.getRepository(users).findOneBy({ id: index + 1 });
        await dataSource.transaction(manager => manager.getRepository(users).update({ id: index + 1 }, { name: `new ${index}` }));
        const runner = dataSource.createQueryRunner();
        const rows = await runner.stream('SELECT 1 AS one');
        for await (const row of rows as AsyncIterable<unknown>) expect(row).toEqual({ one: 1 });
        await runner.release();
      });
      const [first] = requests;
      expect(namesOf(first!)).toEqual(['SELECT users', 'START TRANSACTION', 'UPDATE users', 'COMMIT', 'SELECT']);
      for (const spans of requests) expect(namesOf(spans)).toEqual(namesOf(first!));
    });

    it('fails with the code of the server, and shows no value', async () => {
      await expect(application.during(() => dataSource.getRepository(users).insert({ id: 900, name: 'name 1' }))).rejects.toThrow('name 1');
      const [span] = application.named('INSERT users');
      expect(span?.attributes).toMatchObject({ 'db.response.status_code': '1062', 'error.type': '1062' });
      expect(application.exported).not.toContain('name 1');
    });
  });

  describe('over sql.js', () => {
    let dataSource: current.DataSource;
    let application: DatabaseApplication;

    beforeEach(async () => {
      dataSource = new library.DataSource({ type: 'sqljs', entities: [users] });
      application = await startWith(dataSource, users);
    });
    afterEach(async () => {
      await application.close();
      await dataSource.destroy();
    });

    it('is one CLIENT span, however many query runners were asked for', async () => {
      for (let i = 0; i < 50; i++) dataSource.createQueryRunner();
      const [span, ...others] = await application.during(() => dataSource.query('SELECT name FROM users WHERE id = ?', [7]));
      expect(others).toEqual([]);
      expect(span?.kind).toBe(SpanKind.CLIENT);
      expect(span?.attributes).toEqual({
        'db.system.name': 'sqlite',
        'db.operation.name': 'SELECT',
        'db.collection.name': 'users',
        'db.query.summary': 'SELECT users',
        'db.query.text': 'SELECT name FROM users WHERE id = ?',
      });
    });

    it('belongs to its request', async () => {
      const requests = await application.concurrently(100, async index => {
        expect(await dataSource.getRepository(users).countBy({ id: index })).toBe(index > 0 && index < 21 ? 1 : 0);
        await dataSource.query(index % 2 ? 'DELETE FROM users WHERE id < 0' : 'UPDATE users SET id = 1 WHERE id = 1');
      });
      requests.forEach((spans, index) => expect(namesOf(spans)).toEqual(['SELECT users', index % 2 ? 'DELETE users' : 'UPDATE users']));
    });

    it('fails with the class of the error, and shows no value', async () => {
      await expect(application.during(() => dataSource.query(`SELECT * FROM users WHERE 1 '${SECRET}'`))).rejects.toThrow(SECRET);
      const [span] = application.named('SELECT users');
      expect(span).toMatchObject({ status: { code: SpanStatusCode.ERROR, message: 'near ?: syntax error' } });
      expect(span?.attributes['error.type']).toBe('QueryFailedError');
      expect(application.exported).not.toContain(SECRET);
    });

    it('fails where the driver has no streams', async () => {
      const stream = async () => dataSource.createQueryRunner().stream('SELECT 1');
      await expect(application.during(stream)).rejects.toThrow('not supported');
      expect(application.named('SELECT')).toMatchObject([{ status: { code: SpanStatusCode.ERROR } }]);
    });

    it('is traced through whatever leads to its data source, and several data sources stay apart', async () => {
      await application.close();
      const second = await new library.DataSource({ type: 'sqljs', entities: [users], synchronize: true }).initialize();
      const third = await new library.DataSource({ type: 'sqljs', entities: [users], synchronize: true }).initialize();
      class Service {
        constructor(readonly users: unknown) {}
      }
      const providers: Provider[] = [
        { provide: 'manager', useValue: dataSource.manager },
        { provide: 'repository', useValue: second.getRepository(users) },
        { provide: 'service', useValue: new Service(third.getRepository(users)) },
      ];
      application = await DatabaseApplication.start({}, { providers });
      for (const source of [dataSource, second, third])
        expect(namesOf(await application.during(() => source.getRepository(users).find()))).toEqual(['SELECT users']);
      await second.destroy();
      expect(namesOf(await application.during(() => third.query('SELECT 1')))).toEqual(['SELECT']);
      await third.destroy();
    });
  });
});

describeWith(postgres, 'typeorm')('TypeORM beside official instrumentations', () => {
  const ofPg = 'instrumentation-pg: pg.query:SELECT postgres';
  it.each([
    ['pg', [ofPg]],
    ['typeorm', ['instrumentation-typeorm: raw query']],
    ['pg and typeorm', [ofPg, 'instrumentation-typeorm: raw query']],
    ['nothing', ['nestjs-tracing: SELECT']],
  ])(
    'leaves statements to those of %s',
    async (official, spans) => {
      const { port } = await serverOf(postgres);
      const file = await programOf('test/integrations/databases/typeorm-official.fixture.ts');
      const program = OwnProcess.start(file, { SPEC_PORT: String(port), SPEC_OFFICIAL: official });
      expect(JSON.parse(await program.says('spans'))).toEqual(spans);
      await program.ended;
    },
    60_000,
  );
});
