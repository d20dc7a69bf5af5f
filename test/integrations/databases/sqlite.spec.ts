import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';

const SECRET = 's3cr3t-of-alice';
const require = createRequire(join(process.cwd(), 'package.json'));

interface Statement {
  run(...values: unknown[]): unknown;
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  iterate(...values: unknown[]): IterableIterator<unknown>;
}

interface Connection {
  prepare(text: string): Statement;
  exec(text: string): unknown;
  close(): unknown;
  transaction?(fn: () => unknown): () => unknown;
  pragma?(text: string): unknown;
}

type Open = (path: string) => Connection;

/** Returns why the machine lacks the library, or how to open a database with it. */
function betterSqlite(): Open | string {
  try {
    const Library = require('better-sqlite3') as new (path: string, options: object) => Connection;
    const nativeBinding = require.resolve('better-sqlite3/build/Release/better_sqlite3.node');
    const open: Open = path => new Library(path, { nativeBinding });
    open(':memory:').close();
    return open;
  } catch {
    return 'better-sqlite3 is not compiled here';
  }
}

function nodeSqlite(): Open | string {
  const builtIn = process.getBuiltinModule as ((name: string) => unknown) | undefined;
  const library = builtIn?.('node:sqlite') as { DatabaseSync: new (path: string) => Connection } | undefined;
  return library === undefined ? `Node ${process.version} has no node:sqlite` : path => new library.DatabaseSync(path);
}

const libraries = { 'better-sqlite3': betterSqlite(), 'node:sqlite': nodeSqlite() };

for (const [library, open] of Object.entries(libraries)) {
  if (typeof open === 'string') process.stderr.write(`SKIPPED ${library}: ${open}\n`);
  const describeIt = typeof open === 'string' ? describe.skip : describe; // The line above says what the machine lacks.

  describeIt(`a statement through ${library}`, () => {
    let folder: string;
    let path: string;
    let connection: Connection;
    let early: Statement;
    let application: DatabaseApplication;

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'sqlite-'));
      path = join(folder, 'shop.db');
      connection = (open as Open)(path);
      connection.exec('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)');
      for (let id = 1; id <= 20; id++) connection.prepare('INSERT INTO users VALUES (?, ?)').run(id, `name ${id}`);
      early = connection.prepare('SELECT count(*) AS users FROM users');
      application = await DatabaseApplication.start({ connection });
    });
    afterEach(async () => {
      await application.close();
      connection.close();
      rmSync(folder, { recursive: true });
    });

    it('is a CLIENT span, described by the stable conventions', async () => {
      const statement = connection.prepare('SELECT name FROM users WHERE id = ?');
      const [span, ...others] = await application.during(() => expect(statement.get(7)).toEqual({ name: 'name 7' }));
      expect(others).toEqual([]);
      expect(span).toMatchObject({ name: 'SELECT users', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
      expect(span?.attributes).toEqual({
        'db.system.name': 'sqlite',
        'db.namespace': path,
        'db.operation.name': 'SELECT',
        'db.collection.name': 'users',
        'db.query.summary': 'SELECT users',
        'db.query.text': 'SELECT name FROM users WHERE id = ?',
      });
    });

    it('is one span for each run of a prepared statement, and for each script', async () => {
      const spans = await application.during(() => {
        const update = connection.prepare('UPDATE users SET name = ? WHERE id = ?');
        update.run('one', 1);
        update.run('two', 2);
        expect(connection.prepare('SELECT * FROM users WHERE id < 3').all()).toHaveLength(2);
        connection.exec("DELETE FROM users WHERE name = 'one'");
      });
      expect(namesOf(spans)).toEqual(['UPDATE users', 'UPDATE users', 'SELECT users', 'DELETE users']);
      expect(spans[3]?.attributes['db.query.text']).toBe('DELETE FROM users WHERE name = ?');
    });

    it('belongs to the request that made it', async () => {
      const requests = await application.concurrently(100, async index => {
        connection.prepare('SELECT * FROM users WHERE id = ?').get(index);
        await Promise.resolve();
        for (const row of connection.prepare('SELECT id FROM users').iterate()) {
          expect(row).toBeDefined();
          if (index % 2 === 1) break;
          await Promise.resolve();
        }
        connection.prepare('SELECT count(*) FROM users').all();
      });
      for (const spans of requests) expect(namesOf(spans)).toEqual(['SELECT users', 'SELECT users', 'SELECT users']);
    });

    it('ends with the last row of an iteration, with an early end, or with an error', async () => {
      const text = 'SELECT id FROM users';
      const whole = await application.during(() => expect([...connection.prepare(text).iterate()]).toHaveLength(20));
      expect(namesOf(whole)).toEqual(['SELECT users']);
      const stopped = await application.during(() => {
        for (const row of connection.prepare(text).iterate()) {
          expect(row).toEqual({ id: 1 });
          break;
        }
      });
      expect(namesOf(stopped)).toEqual(['SELECT users']);
      const failing = "SELECT json_extract(CASE id WHEN 3 THEN '{' ELSE '{}' END, '$.a') FROM users";
      const [failed] = await application.during(() => {
        expect(() => [...connection.prepare(failing).iterate()]).toThrow('malformed JSON');
      });
      expect(failed).toMatchObject({ name: 'SELECT users', status: { code: SpanStatusCode.ERROR, message: 'malformed JSON' } });
    });

    it('that is still iterated when the application closes ends as cut off', async () => {
      const rows = connection.prepare('SELECT id FROM users').iterate();
      await application.during(() => {
        rows.next();
      });
      const again = connection.prepare('SELECT name FROM users').iterate();
      again.next();
      await application.close();
      expect(application.named('SELECT users').map(span => span.attributes['error.type'])).toContain('application_closed');
      rows.return?.();
      again.return?.();
    });

    it('fails with the code of SQLite, and shows no value', async () => {
      const insert = connection.prepare('INSERT INTO users VALUES (?, ?)');
      await expect(application.during(() => insert.run(1, SECRET))).rejects.toHaveProperty(
        'message',
        expect.stringContaining('UNIQUE constraint failed'),
      );
      const [span] = application.named('INSERT users');
      const code = library === 'node:sqlite' ? '1555' : 'SQLITE_CONSTRAINT_PRIMARYKEY';
      expect(span?.attributes).toMatchObject({ 'db.response.status_code': code, 'error.type': code });
      expect(span?.status.message).toBe('UNIQUE constraint failed: users.id');
      expect(application.exported).not.toContain(SECRET);
      await expect(application.during(() => connection.exec(`DELETE FROM users WHERE 1 '${SECRET}'`))).rejects.toHaveProperty(
        'message',
        expect.stringContaining(SECRET),
      );
      expect(namesOf(application.named('DELETE users'))).toEqual(['DELETE users']);
      expect(application.exported).not.toContain(SECRET);
    });

    it('also has a span where SQLite refuses to prepare it', async () => {
      await expect(application.during(() => connection.prepare(`SELECT '${SECRET}' FROM nowhere`))).rejects.toHaveProperty(
        'message',
        expect.stringContaining('no such table'),
      );
      expect(application.named('SELECT nowhere')).toMatchObject([{ status: { code: SpanStatusCode.ERROR } }]);
      expect(application.exported).not.toContain(SECRET);
    });

    it('shows its parameters if the user wants them', async () => {
      const open = await DatabaseApplication.start({ connection }, { databases: { captureParameters: true } });
      const listed = await open.during(() => connection.prepare('SELECT ?, ?').get(7, 'seven'));
      const named = await open.during(() => connection.prepare('SELECT $id').get({ id: 7 }));
      await open.close();
      expect(listed[0]?.attributes).toMatchObject({ 'db.query.parameter.0': '7', 'db.query.parameter.1': 'seven' });
      expect(named[0]?.attributes).toMatchObject({ 'db.query.parameter.id': '7' });
    });

    it('has no span any more after the application is closed', async () => {
      const statement = connection.prepare('SELECT 1');
      await application.close();
      application.recorder.clear();
      statement.get();
      connection.exec('SELECT 1');
      connection.prepare('SELECT 1').all();
      expect(application.recorder.spans).toEqual([]);
      expect(Object.hasOwn(connection, 'prepare')).toBe(false);
      expect(Object.hasOwn(connection, 'exec')).toBe(false);
    });

    it('through a connection that is no provider is traced after traceDatabase()', async () => {
      const other = (open as Open)(':memory:');
      expect(namesOf(await application.during(() => other.exec('SELECT 1')))).toEqual([]);
      traceDatabase(other);
      const [span] = await application.during(() => other.prepare('SELECT 1').get());
      expect(span?.attributes).not.toHaveProperty('db.namespace');
      other.close();
    });

    if (library === 'better-sqlite3') {
      it('has a span if it was prepared before, and if transaction() or pragma() sends it', async () => {
        expect(namesOf(await application.during(() => early.get()))).toEqual(['SELECT users']);
        const transaction = connection.transaction!(() => connection.prepare('DELETE FROM users').run());
        expect(namesOf(await application.during(() => transaction()))).toEqual(['BEGIN', 'DELETE users', 'COMMIT']);
        expect(namesOf(await application.during(() => connection.pragma!('user_version')))).toEqual(['PRAGMA']);
      });
    } else {
      it('has no span if it was prepared before', async () => {
        expect(namesOf(await application.during(() => early.get()))).toEqual([]);
      });
    }
  });
}
