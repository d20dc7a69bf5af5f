/** Statements with secrets in them, through each library above PostgreSQL and MariaDB: no secret may be in anything that is exported. */
import { sql as drizzleSql } from 'drizzle-orm';
import { BadRequestException, HttpException } from '@nestjs/common';
import { SpanStatusCode } from '@opentelemetry/api';
import { drizzle } from 'drizzle-orm/node-postgres';
import knex from 'knex';
import { Kysely, PostgresDialect, sql as kyselySql } from 'kysely';
import { createConnection, createPool } from 'mysql2/promise';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { Sequelize } from 'sequelize';
import { DataSource } from 'typeorm';
import { traceDatabase } from '../../../lib/index.js';
import { freePort } from '../../../sample/runner/free-ports.js';
import { DatabaseApplication } from './database-application.js';
import { describeWith, mariadb, postgres, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';
const NUMBER = '4929123456781234';

/** Some of them fail: the error must not show the secret either. */
const STATEMENTS = [
  `SELECT '${SECRET}'`,
  `SELECT 'it''s ${SECRET}'`,
  `SELECT E'it\\'s ${SECRET}'`,
  `SELECT U&'${SECRET}'`,
  `SELECT N'${SECRET}'`,
  `SELECT $$${SECRET}$$`,
  `SELECT $of$ $$ ${SECRET} $of$`,
  `SELECT 1 /* ${SECRET} */`,
  `SELECT 1 -- ${SECRET}`,
  `/* ${SECRET} /* nested */ ${SECRET} */ SELECT 1`,
  `SELECT ${NUMBER}`,
  `SELECT -${NUMBER}.5, ${NUMBER}e2`,
  `SELECT x'${NUMBER}'`,
  `SELECT * FROM leaks WHERE text IN ('a', '${SECRET}') AND id = ${NUMBER}`,
  `SELECT * FROM leaks WHERE text LIKE '%${SECRET}%'`,
  `SELECT '{"token": "${SECRET}"}'::jsonb ->> '${SECRET}'`,
  `INSERT INTO leaks VALUES (1, '${SECRET}'), (2, '${SECRET}')`,
  `UPDATE leaks SET text = '${SECRET}' WHERE id = 3`,
  `DELETE FROM leaks WHERE text = '${SECRET}'`,
  `WITH found AS (SELECT '${SECRET}' AS text) SELECT * FROM found`,
  `SET application_name = '${SECRET}'`,
  `SELECT set_config('a.b', '${SECRET}', false)`,
  `CREATE ROLE alice PASSWORD '${SECRET}'`,
  `ALTER ROLE alice ENCRYPTED PASSWORD '${SECRET}'`,
  `COMMENT ON TABLE leaks IS '${SECRET}'`,
  `NOTIFY channel, '${SECRET}'`,
  `SELECT '${SECRET}'::int`,
  `SELECT '${SECRET}'::uuid`,
  `SELECT '${SECRET}'::date`,
  `SELECT ${NUMBER}::int`,
  `SELECT 'unterminated ${SECRET}`,
  `SELECT 1 FRM '${SECRET}'`,
  `SELECT 1 '${SECRET}' 2`,
  `SELECT 'a' ''${SECRET}''`,
  `SELECT to_date('${SECRET}', 'YYYY')`,
  `SELECT '${SECRET}'::json`,
  `INSERT INTO leaks VALUES (1, '${SECRET} once more')`,
  `INSERT INTO leaks VALUES (5, '${SECRET.repeat(10)}')`,
  `SELECT '${SECRET}' UNION SELECT 1`,
  `DO $$ BEGIN RAISE EXCEPTION '${SECRET}'; END $$`,
  `DO $$ BEGIN RAISE EXCEPTION '${SECRET}' USING ERRCODE = '23505'; END $$`,
  `DO $$ BEGIN ASSERT false, '${SECRET}'; END $$`,
  `DO $$ BEGIN PERFORM 1; EXCEPTION WHEN OTHERS THEN RAISE '${SECRET}'; END $$`,
  `SELECT 1; SELECT '${SECRET}'; SELECT ${NUMBER}`,
  `SELECT 1; SELECT '${SECRET}'::int`,
  `PREPARE one AS SELECT '${SECRET}'; DEALLOCATE one`,
  `PREPARE two AS SELECT $1::int; EXECUTE two('${SECRET}')`,
  `EXECUTE nothing('${SECRET}', ${NUMBER})`,
  `BEGIN; DECLARE rows CURSOR FOR SELECT '${SECRET}'; ROLLBACK`,
  `COPY leaks FROM '/${SECRET}'`,
  `COPY (SELECT '${SECRET}') TO PROGRAM 'false ${SECRET}'`,
  `COPY leaks FROM STDIN;\n7\t${SECRET}\n\\.\n`,
  `CREATE OR REPLACE FUNCTION one() RETURNS text LANGUAGE sql AS 'SELECT ''${SECRET}'''`,
  `CREATE OR REPLACE FUNCTION two() RETURNS text LANGUAGE sql AS $body$ SELECT '${SECRET}' $body$`,
  `CREATE OR REPLACE FUNCTION three() RETURNS text LANGUAGE sql RETURN '${SECRET}'`,
  `CREATE OR REPLACE FUNCTION four() RETURNS text BEGIN ATOMIC SELECT '${SECRET}'; END`,
  `CREATE SUBSCRIPTION one CONNECTION 'host=${SECRET} password=${SECRET}' PUBLICATION two`,
  `CREATE SUBSCRIPTION one CONNECTION '${SECRET}' PUBLICATION two`,
  `CREATE SERVER one FOREIGN DATA WRAPPER two OPTIONS (password '${SECRET}')`,
  `CREATE USER MAPPING FOR alice SERVER one OPTIONS (user 'alice', password '${SECRET}')`,
  `ALTER SYSTEM SET primary_conninfo = 'password=${SECRET}'`,
  `ALTER ROLE alice VALID UNTIL '${SECRET}'`,
  `ALTER ROLE alice SET work_mem = '${SECRET}'`,
  `SET TimeZone = '${SECRET}'`,
  `SET LOCAL "my.token" TO '${SECRET}'`,
  `SELECT '{"a": 1}'::jsonb @> '{"token": "${SECRET}"}', '{}'::jsonb ? '${SECRET}', '{}'::jsonb #>> '{${SECRET}}'`,
  `SELECT jsonb_path_query('{}', '$.${SECRET}[')`,
  `SELECT jsonb_path_query('{"a": "${SECRET}"}', '$ ? (@.a == "${SECRET}")')`,
  `SELECT to_tsquery('${SECRET} &')`,
  `SELECT 'x' ~ '(${SECRET}'`,
  `SELECT '{${SECRET}'::text[]`,
  `SELECT '(${SECRET}'::point, '[${SECRET}'::int4range`,
  `SELECT '<a>${SECRET}</b>'::xml`,
  `SELECT decode('${SECRET}', 'hex')`,
  `SELECT '${SECRET}'::inet`,
  `SELECT '${SECRET}'::interval`,
  `SELECT B'${NUMBER}'`,
  `SELECT ${NUMBER}::text::int`,
  `SELECT ${NUMBER}_000, 0x${NUMBER}`,
  `SELECT 1 --${SECRET}\r\n + 1`,
  `SELECT 1 /*+ hint ${SECRET} */`,
  `/*${SECRET}*/`,
  `-- ${SECRET}`,
  `SELECT lo_import('/${SECRET}')`,
  `SELECT pg_read_file('${SECRET}')`,
  `SELECT crypt('${SECRET}', gen_salt('bf'))`,
  ...['regclass', 'regtype', 'regproc', 'regrole', 'regnamespace', 'regconfig'].map(type => `SELECT '${SECRET}'::${type}`),
  `SELECT nextval('${SECRET}'), currval('${SECRET}')`,
  `SELECT 'public.${SECRET}'::regclass`,
  `SELECT has_table_privilege('${SECRET}', 'SELECT')`,
  `MERGE INTO leaks USING (SELECT '${SECRET}' AS t) s ON leaks.text = s.t WHEN NOT MATCHED THEN INSERT VALUES (9, '${SECRET}')`,
  `INSERT INTO leaks VALUES (1, '${SECRET}') ON CONFLICT (id) DO UPDATE SET text = '${SECRET}' RETURNING '${SECRET}'`,
  `EXPLAIN SELECT '${SECRET}'`,
  `VALUES ('${SECRET}'), (${NUMBER}::text)`,
  `CALL nothing('${SECRET}', ${NUMBER})`,
  `LISTEN channel; NOTIFY channel, '${SECRET}'`,
  `SELECT * FROM leaks ORDER BY '${SECRET}'`,
  `CREATE TABLE IF NOT EXISTS defaults (a text DEFAULT '${SECRET}', CHECK (a <> '${SECRET}'))`,
];

/** Texts that a library could not take as they are: a question mark, a colon and braces are placeholders for some. */
const PARAMETERS = [
  'SELECT 1::int',
  'SELECT 1::uuid',
  'SELECT 1::date',
  'SELECT 1',
  // The database looks these up, and says that it has none of that name.
  ...['regclass', 'regtype', 'regproc', 'regprocedure', 'regrole', 'regnamespace', 'regconfig'].map(type => `SELECT 1::${type}`),
];

describeWith(postgres, 'secrets in statements')('a statement with a secret in it', () => {
  let application: DatabaseApplication;
  let pool: pg.Pool;
  let close: () => Promise<unknown>;
  const run = new Map<string, (text: string) => Promise<unknown>>();
  const runWithValue = new Map<string, (type: string, value: string) => Promise<unknown>>();

  beforeAll(async () => {
    const { port } = await serverOf(postgres);
    const settings = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 3 };
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    pool = new pg.Pool(settings);
    await pool.query('CREATE TABLE leaks (id int PRIMARY KEY, text varchar(100))');
    const orms = {
      drizzle: drizzle(pool),
      kysely: new Kysely({ dialect: new PostgresDialect({ pool }) }),
      knex: knex({ client: 'pg', connection: settings }),
      sequelize: new Sequelize(url, { logging: false }),
      typeorm: await new DataSource({ type: 'postgres', url }).initialize(),
    };
    application = await DatabaseApplication.start({ pool, ...orms });
    close = () => Promise.all([pool.end(), orms.knex.destroy(), orms.sequelize.close(), orms.typeorm.destroy()]);
    run
      .set('pg', text => pool.query(text))
      .set('a cursor of pg', async text => {
        const client = await pool.connect();
        try {
          const cursor = client.query(new Cursor(text));
          await cursor.read(5);
          await cursor.close();
        } finally {
          client.release(true);
        }
      })
      .set('Drizzle', text => orms.drizzle.execute(drizzleSql.raw(text)))
      .set('Kysely', text => kyselySql.raw(text).execute(orms.kysely))
      .set('Knex', async text => orms.knex.raw(text.replaceAll('?', '\\?')))
      .set('Sequelize', text => orms.sequelize.query(text))
      .set('TypeORM', text => orms.typeorm.query(text));
    runWithValue
      .set('pg', (text, value) => pool.query(text.replace('1', '$1'), [value]))
      .set('Drizzle', (text, value) =>
        orms.drizzle.execute(drizzleSql`${drizzleSql.raw('SELECT ')}${value}${drizzleSql.raw(text.slice(8))}`),
      )
      .set('Kysely', (text, value) => kyselySql`SELECT ${value}${kyselySql.raw(text.slice(8))}`.execute(orms.kysely))
      .set('Knex', async (text, value) => orms.knex.raw(text.replace('1', '?'), [value]))
      .set('Sequelize', (text, value) => orms.sequelize.query(text.replace('1', '$1'), { bind: [value] }))
      .set('Sequelize with replacements', (text, value) => orms.sequelize.query(text.replace('1', '?'), { replacements: [value] }))
      .set('TypeORM', (text, value) => orms.typeorm.query(text.replace('1', '$1'), [value]));
  });
  afterAll(async () => {
    await application.close();
    await close();
  });

  const libraries = ['pg', 'a cursor of pg', 'Drizzle', 'Kysely', 'Knex', 'Sequelize', 'TypeORM'];

  it.each(libraries)('through %s leaves none of it in what is exported, whether the request catches its error or not', async library => {
    const leaking: string[] = [];
    for (const text of STATEMENTS) {
      for (const isCaught of [true, false]) {
        await pool.query('TRUNCATE leaks');
        const spans = await application
          .during(() => (isCaught ? run.get(library)!(text).catch(() => undefined) : run.get(library)!(text)))
          .catch(() => undefined);
        const { exported } = application;
        if (exported.includes(SECRET) || exported.includes(NUMBER)) leaking.push(`${text} in ${exported}`);
        if (isCaught) expect(spans?.length).toBeGreaterThan(0);
      }
    }
    expect(leaking).toEqual([]);
  });

  it.each([...libraries.filter(name => name !== 'a cursor of pg'), 'Sequelize with replacements'])(
    'as a parameter through %s leaves none of it in what is exported',
    async library => {
      const leaking: string[] = [];
      for (const text of PARAMETERS) {
        await application.during(() => runWithValue.get(library)!(text, SECRET)).catch(() => undefined);
        if (application.exported.includes(SECRET)) leaking.push(`${text} in ${application.exported}`);
      }
      expect(leaking).toEqual([]);
    },
  );
});

describeWith(postgres, 'secrets in errors of pg')('an error that pg itself makes', () => {
  let application: DatabaseApplication;
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client({ host: '127.0.0.1', port: (await serverOf(postgres)).port, user: 'postgres', database: 'postgres' });
    await client.connect();
    application = await DatabaseApplication.start({ client });
  });
  afterAll(async () => {
    await application.close();
    await client.end();
  });

  it.each<[string, () => Promise<unknown>]>([
    [
      'for a name that another statement has',
      async () => {
        await client.query({ name: SECRET, text: 'SELECT 1' });
        await client.query({ name: SECRET, text: `SELECT '${SECRET}'` });
      },
    ],
    ['for a value that cannot be written', () => client.query('SELECT $1', [new Unwritable()])],
    ['for values that are no list', () => client.query('SELECT 1', SECRET as unknown as unknown[])],
  ])('shows nothing of what was sent: %s', async (_what, call) => {
    await expect(application.during(call)).rejects.toThrow();
    expect(application.named('SELECT').at(-1)?.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.exported).not.toContain(SECRET);
  });

  it('shows where no connection could be made, and so does that of Drizzle, whose message repeats the statement', async () => {
    const port = await freePort();
    const pool = traceDatabase(new pg.Pool({ host: '127.0.0.1', port, user: 'postgres' }));
    await expect(application.during(() => drizzle(pool).execute(drizzleSql`SELECT ${SECRET}`))).rejects.toThrow(SECRET);
    expect(application.exported).not.toContain(SECRET);
    expect(application.exported).toContain(`connect ECONNREFUSED 127.0.0.1:${port}`);
  });
});

describeWith(postgres, 'secrets in errors of the user')('an error of the user that repeats the message of the database', () => {
  it.each<[string, (message: string) => unknown]>([
    ['an exception', message => new BadRequestException(message)],
    ['an exception with an object', message => new HttpException({ reason: `It failed: ${message}` }, 400)],
    ['an error', message => new Error(`It failed: ${message}.`)],
    ['an error with a cause', message => new Error('It failed.', { cause: new Error(message) })],
    ['a text', message => message],
  ])('shows no value: %s', async (_what, errorOf) => {
    const settings = { host: '127.0.0.1', port: (await serverOf(postgres)).port, user: 'postgres', database: 'postgres' };
    const pool = new pg.Pool(settings);
    const builder = knex({ client: 'pg', connection: settings });
    const application = await DatabaseApplication.start({ pool, builder });
    const exported: string[] = [];
    for (const send of [() => pool.query(`SELECT '${SECRET}'::int`), () => builder.raw(`SELECT ?::int`, [SECRET])]) {
      const repeating = async () => {
        await send().catch((error: unknown) => {
          throw errorOf((error as Error).message);
        });
      };
      await expect(application.during(repeating)).rejects.toBeDefined();
      exported.push(application.exported);
    }
    await application.close();
    await Promise.all([pool.end(), builder.destroy()]);
    expect(exported.filter(text => text.includes(SECRET))).toEqual([]);
    expect(exported[0]).toContain('invalid input syntax for type integer: ?');
  });
});

/** Its way to PostgreSQL repeats it. */
class Unwritable {
  readonly secret = { of: [SECRET] };

  toPostgres(): string {
    throw new Error(`cannot write ${this.secret.of.join()}, and not its half ${SECRET.slice(0, 6)}`);
  }
}

const OF_MYSQL = [
  `SELECT '${SECRET}', "${SECRET}"`,
  `SELECT 'it\\'s ${SECRET}', "say \\"${SECRET}\\""`,
  `SELECT _utf8mb4'${SECRET}', N'${SECRET}', x'${NUMBER}', 0x${NUMBER}`,
  `SELECT 1 # ${SECRET}`,
  `SELECT 1 -- ${SECRET}`,
  `SELECT /*! '${SECRET}', */ 1`,
  `INSERT INTO leaks VALUES (1, '${SECRET}'), (2, "${SECRET} two")`,
  `REPLACE INTO leaks SET id = 3, text = "${SECRET} three"`,
  `INSERT INTO leaks VALUES (4, '${SECRET} once'), (5, '${SECRET} once')`,
  `UPDATE leaks SET text = CONCAT('${SECRET}', ${NUMBER})`,
  `SELECT * FROM leaks WHERE id = ${NUMBER} OR text RLIKE "${SECRET}"`,
  `SET @token = '${SECRET}'`,
  `CREATE USER alice IDENTIFIED BY '${SECRET}'`,
  `SET PASSWORD FOR alice = PASSWORD('${SECRET}')`,
  `SELECT 1 FRM '${SECRET}'`,
  `SELECT '${SECRET}`,
  `SELECT CAST('${SECRET}' AS JSON)`,
  `INSERT INTO leaks VALUES ('${SECRET}', 'x')`,
  `INSERT INTO leaks VALUES (${NUMBER}, 'x')`,
  `SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '${SECRET}', MYSQL_ERRNO = 1`,
  `KILL '${SECRET}'`,
  `SIGNAL SQLSTATE '02TRY' SET MESSAGE_TEXT = '${SECRET}'`,
  `SIGNAL SQLSTATE '77777' SET MESSAGE_TEXT = '${SECRET}'`,
  `SIGNAL SQLSTATE '77777' SET MESSAGE_TEXT = '${SECRET}', MYSQL_ERRNO = 30001`,
  `BEGIN NOT ATOMIC SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '${SECRET}'; END`,
  `PREPARE one FROM 'SELECT "${SECRET}"'`,
  `EXECUTE IMMEDIATE 'SELECT "${SECRET}'`,
  `EXECUTE nothing USING '${SECRET}', ${NUMBER}`,
  `GRANT SELECT ON test.* TO alice IDENTIFIED BY '${SECRET}'`,
  `ALTER USER alice IDENTIFIED VIA mysql_native_password USING PASSWORD('${SECRET}')`,
  `CREATE USER bob IDENTIFIED BY PASSWORD '${SECRET}'`,
  `CHANGE MASTER TO MASTER_HOST = '${SECRET}', MASTER_PASSWORD = '${SECRET}'`,
  `CREATE SERVER one FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h', PASSWORD '${SECRET}')`,
  `LOAD DATA INFILE '/${SECRET}' INTO TABLE leaks`,
  `SELECT '${SECRET}' INTO OUTFILE '/${SECRET}/x'`,
  `SELECT JSON_EXTRACT('{"a": "${SECRET}"}', '$.${SECRET}['), JSON_VALUE('${SECRET}', '$.a')`,
  `SELECT 1 # ${SECRET}`,
  `SELECT 1 /*! + '${SECRET}' */`,
  `SELECT 'a' '${SECRET}', "a" "${SECRET}", 'a''${SECRET}', 'a\\'${SECRET}'`,
  `SELECT _binary '${SECRET}', b'${SECRET}'`,
  `SELECT 's' REGEXP '(${SECRET}'`,
  `SELECT STR_TO_DATE('${SECRET}', '${SECRET}'), CAST('${SECRET}' AS DATE), '${SECRET}' + 1`,
  `UPDATE leaks SET id = '${SECRET}'`,
  `INSERT INTO leaks VALUES (1, '${SECRET.repeat(10)}')`,
  `INSERT INTO leaks SET id = 1, text = '${SECRET}' ON DUPLICATE KEY UPDATE text = '${SECRET}'`,
  `REPLACE INTO leaks VALUES (1, '${SECRET}')`,
  `SET GLOBAL init_connect = '${SECRET}'`,
  `SET SESSION time_zone = '${SECRET}'`,
  `SET NAMES '${SECRET}'`,
  `CREATE TABLE x (a text) COMMENT '${SECRET}' CONNECTION = 'mysql://a:${SECRET}@b/c'`,
  `CALL nothing('${SECRET}', ${NUMBER})`,
  `DO SLEEP('${SECRET}')`,
];

describeWith(mariadb, 'secrets in statements to MariaDB')('a statement to MariaDB with a secret in it', () => {
  it('leaves none of it in what is exported, through mysql2, Sequelize and TypeORM', async () => {
    const { port } = await serverOf(mariadb);
    const settings = { host: '127.0.0.1', port, user: 'tester', database: 'test' };
    const pool = createPool(settings);
    await pool.query('CREATE TABLE leaks (id int PRIMARY KEY, text varchar(100) UNIQUE)');
    const sequelize = new Sequelize({ ...settings, username: 'tester', dialect: 'mysql', logging: false });
    const typeorm = await new DataSource({ ...settings, type: 'mysql', username: 'tester' }).initialize();
    const application = await DatabaseApplication.start({ pool, sequelize, typeorm });
    const leaking: string[] = [];
    for (const text of OF_MYSQL) {
      for (const run of [
        () => pool.query(text),
        () => pool.execute(text),
        () => pool.query(text.replaceAll(`'${SECRET}'`, '?'), [SECRET, SECRET]),
        () => sequelize.query(text),
        () => typeorm.query(text),
      ]) {
        await pool.query('TRUNCATE leaks');
        await application.during(run).catch(() => undefined);
        const { exported } = application;
        if (exported.includes(SECRET) || exported.includes(NUMBER)) leaking.push(`${text} in ${exported}`);
      }
    }
    await application.close();
    await Promise.all([pool.end(), sequelize.close(), typeorm.destroy()]);
    expect(leaking).toEqual([]);
  });

  it('leaves none of it in the error that mysql2 itself makes', async () => {
    const { port } = await serverOf(mariadb);
    const connection = await createConnection({ host: '127.0.0.1', port, user: 'tester', database: 'test' });
    await connection.query('CREATE TEMPORARY TABLE files (a text)');
    const application = await DatabaseApplication.start({ connection });
    const failed = application.during(() => connection.query(`LOAD DATA LOCAL INFILE '/home/${SECRET}.csv' INTO TABLE files`));
    await expect(failed).rejects.toThrow(SECRET);
    // The server still waits for the file.
    connection.destroy();
    await application.close();
    expect(application.named('LOAD')[0]?.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.exported).not.toContain(SECRET);
  });
});
