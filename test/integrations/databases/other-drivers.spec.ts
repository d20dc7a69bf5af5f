/** The libraries above drivers, over each driver that they are used with: one span for each statement, in the request that made it. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { eq, sql as drizzleSql } from 'drizzle-orm';
import { drizzle as drizzleOverSqlite } from 'drizzle-orm/better-sqlite3';
import { drizzle as drizzleOverMysql } from 'drizzle-orm/mysql2';
import { int, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import knex, { type Knex } from 'knex';
import { Kysely, MysqlDialect, sql as kyselySql, SqliteDialect } from 'kysely';
import mariadbDriver from 'mariadb';
import * as mysql from 'mysql2';
import { DataTypes, Sequelize } from 'sequelize';
import { DataSource } from 'typeorm';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, mariadb, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';
const TABLE = 'CREATE TABLE users (id int PRIMARY KEY, name varchar(100) UNIQUE)';
const ROWS = `INSERT INTO users VALUES ${Array.from({ length: 100 }, (_, index) => `(${index + 1}, 'name ${index}')`).join(', ')}`;

/** A library over a driver. */
interface Case {
  /** What the application provides. */
  readonly provided: object;
  readonly find: (id: number) => PromiseLike<unknown>;
  /** Changes a row in a transaction. */
  readonly rename: (id: number, name: string) => Promise<unknown>;
  readonly insert: (id: number, name: string) => PromiseLike<unknown>;
  readonly raw: (statement: string) => PromiseLike<unknown>;
  readonly close: () => unknown;
}

type Open = () => Promise<Case> | Case;

interface Tables {
  users: { id: number; name: string };
}

function overKnex(db: Knex): Case {
  return {
    provided: { db },
    find: id => db('users').where({ id }).first(),
    rename: (id, name) => db.transaction(trx => trx('users').where({ id }).update({ name })),
    insert: (id, name) => db('users').insert({ id, name }),
    raw: statement => db.raw(statement),
    close: () => db.destroy(),
  };
}

function overKysely(db: Kysely<Tables>, provided: object = { db }): Case {
  return {
    provided,
    find: id => db.selectFrom('users').selectAll().where('id', '=', id).execute(),
    rename: (id, name) => db.transaction().execute(trx => trx.updateTable('users').set({ name }).where('id', '=', id).execute()),
    insert: (id, name) => db.insertInto('users').values({ id, name }).execute(),
    raw: statement => kyselySql.raw(statement).execute(db),
    close: () => db.destroy(),
  };
}

/** On its one connection to SQLite, TypeORM runs one transaction at a time. */
function overTypeOrm(dataSource: DataSource, isInTurns = false): Case {
  let last: Promise<unknown> = Promise.resolve();
  return {
    provided: { dataSource },
    find: id => dataSource.query('SELECT * FROM users WHERE id = ?', [id]),
    rename(id, name) {
      const rename = () => dataSource.transaction(manager => manager.query('UPDATE users SET name = ? WHERE id = ?', [name, id]));
      return isInTurns ? (last = last.then(rename)) : rename();
    },
    insert: (id, name) => dataSource.query('INSERT INTO users VALUES (?, ?)', [id, name]),
    raw: statement => dataSource.query(statement),
    close: () => dataSource.destroy(),
  };
}

function overSequelize(orm: Sequelize): Case {
  const User = orm.define('user', { id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.STRING }, { timestamps: false });
  return {
    provided: { orm },
    find: id => User.findByPk(id),
    rename: (id, name) => orm.transaction(transaction => User.update({ name }, { where: { id }, transaction })),
    insert: (id, name) => User.create({ id, name }),
    raw: statement => orm.query(statement),
    close: () => orm.close(),
  };
}

/** Runs all specs of a library. `duplicate`: `error.type` of a row whose key exists already. */
function itTraces(open: Open, system: string, duplicate: string): void {
  let one: Case;
  let application: DatabaseApplication;
  beforeEach(async () => {
    one = await open();
    // The first statement may also ask for the version of the server.
    await one.raw('DROP TABLE IF EXISTS users');
    await one.raw(TABLE);
    await one.raw(ROWS);
    application = await DatabaseApplication.start({ ...one.provided });
  });
  afterEach(async () => {
    await application.close();
    await one.close();
  });

  it('has one CLIENT span in the request that made it, also in transactions on five connections', async () => {
    const requests = await application.concurrently(100, async index => {
      await one.find(index + 1);
      await one.rename(index + 1, `new ${index}`);
    });
    for (const spans of requests) {
      const names = namesOf(spans).filter(name => !/^(SET|SELECT$)/.test(name));
      expect(names.map(name => name.replace('START TRANSACTION', 'BEGIN'))).toEqual(['SELECT users', 'BEGIN', 'UPDATE users', 'COMMIT']);
      expect(spans.map(span => application.parentOf(span)?.name)).toEqual(spans.map(() => expect.stringMatching(/^request /)));
      expect(spans.map(({ attributes }) => attributes['db.system.name'])).toEqual(spans.map(() => system));
    }
  });

  it('fails with the code of the database, and shows no value', async () => {
    await expect(application.during(() => one.insert(1, SECRET))).rejects.toHaveProperty('message');
    expect(application.named('INSERT users')[0]?.attributes['error.type']).toBe(duplicate);
    for (const statement of [`SELECT '${SECRET}' FRM users`, `INSERT INTO users VALUES (1, '${SECRET}')`, `SELECT '${SECRET}`]) {
      await application.during(() => one.raw(statement)).catch(() => undefined);
      expect(application.exported).not.toContain(SECRET);
    }
  });

  it('has no span any more after the application is closed', async () => {
    await application.close();
    application.recorder.clear();
    await one.find(1);
    expect(application.recorder.spans).toEqual([]);
  });
}

describeWith(mariadb, 'libraries over mysql2 and mariadb')('a statement', () => {
  let settings: { host: string; port: number; user: string; database: string };
  beforeAll(async () => {
    settings = { host: '127.0.0.1', port: (await serverOf(mariadb)).port, user: 'tester', database: 'test' };
  });
  const users = mysqlTable('users', { id: int().primaryKey(), name: varchar({ length: 100 }) });

  const libraries: Record<string, [open: Open, system?: string, duplicate?: string]> = {
    'Knex over mysql2': [() => overKnex(knex({ client: 'mysql2', connection: settings, pool: { min: 0, max: 5 } }))],
    'Drizzle over mysql2': [
      () => {
        const pool = mysql.createPool({ ...settings, connectionLimit: 5 });
        const db = drizzleOverMysql(pool.promise());
        return {
          provided: { db },
          find: id => db.select().from(users).where(eq(users.id, id)),
          rename: (id, name) => db.transaction(trx => trx.update(users).set({ name }).where(eq(users.id, id))),
          insert: (id, name) => db.insert(users).values({ id, name }),
          raw: statement => db.execute(drizzleSql.raw(statement)),
          close: () => pool.promise().end(),
        };
      },
    ],
    'Kysely over mysql2': [
      () => overKysely(new Kysely<Tables>({ dialect: new MysqlDialect({ pool: mysql.createPool({ ...settings, connectionLimit: 5 }) }) })),
    ],
    'TypeORM over mysql2': [
      async () => {
        const { user: username, ...others } = settings;
        return overTypeOrm(await new DataSource({ type: 'mysql', ...others, username, poolSize: 5 }).initialize());
      },
    ],
    'Sequelize over mysql2': [
      () => {
        const { user: username, ...others } = settings;
        return overSequelize(new Sequelize({ ...others, username, dialect: 'mysql', logging: false, pool: { max: 5 } }));
      },
    ],
    'Sequelize over mariadb': [
      () => {
        const { user: username, ...others } = settings;
        const dialectModule = mariadbDriver as object;
        return overSequelize(new Sequelize({ ...others, username, dialect: 'mariadb', dialectModule, logging: false, pool: { max: 5 } }));
      },
      'mariadb',
    ],
  };
  for (const [name, [open, system = 'mysql', duplicate = '1062']] of Object.entries(libraries)) {
    describe(`through ${name}`, () => itTraces(open, system, duplicate));
  }
});

const require = createRequire(join(process.cwd(), 'package.json'));
type BetterSqlite = Parameters<typeof drizzleOverSqlite>[0];

/** Returns a connection, or the reason why there is none. */
function betterSqlite(): object | string {
  try {
    const Library = require('better-sqlite3') as new (path: string, options: object) => object;
    return new Library(':memory:', { nativeBinding: require.resolve('better-sqlite3/build/Release/better_sqlite3.node') });
  } catch {
    return 'better-sqlite3 is not compiled here';
  }
}

describe('a statement', () => {
  const missing = betterSqlite();
  if (typeof missing === 'string') process.stderr.write(`SKIPPED libraries over better-sqlite3: ${missing}\n`);
  const describeIt = typeof missing === 'string' ? describe.skip : describe; // The line above says what the machine lacks.
  const users = sqliteTable('users', { id: integer().primaryKey(), name: text() });
  const libraries: Record<string, Open> = {
    'Knex over better-sqlite3': () => overKnex(knex({ client: 'better-sqlite3', connection: ':memory:', useNullAsDefault: true })),
    'Drizzle over better-sqlite3': () => {
      const connection = betterSqlite() as { exec(statement: string): void; close(): void };
      const db = drizzleOverSqlite(connection as unknown as BetterSqlite);
      return {
        provided: { db },
        find: async id => db.select().from(users).where(eq(users.id, id)),
        rename: async (id, name) =>
          db.transaction(trx => {
            trx.update(users).set({ name }).where(eq(users.id, id)).run();
          }),
        insert: async (id, name) => db.insert(users).values({ id, name }),
        raw: async statement => connection.exec(statement),
        close: () => connection.close(),
      };
    },
    'Kysely over better-sqlite3': () =>
      overKysely(new Kysely<Tables>({ dialect: new SqliteDialect({ database: betterSqlite() as never }) })),
    'TypeORM over better-sqlite3': async () => {
      const nativeBinding = require.resolve('better-sqlite3/build/Release/better_sqlite3.node');
      return overTypeOrm(await new DataSource({ type: 'better-sqlite3', database: ':memory:', nativeBinding }).initialize(), true);
    },
  };
  for (const [name, open] of Object.entries(libraries)) {
    describeIt(`through ${name}`, () => itTraces(open, 'sqlite', 'SQLITE_CONSTRAINT_PRIMARYKEY'));
  }
});
