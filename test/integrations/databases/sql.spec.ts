/** SQL statements: what a span says about them. */
import { describeStatement, type SqlDialect } from '../../../lib/integrations/databases/sql/statement.js';

type Row = [dialect: SqlDialect, text: string, expected: string | undefined];

describe('The summary of a SQL statement', () => {
  it.each<Row>([
    ['postgresql', 'SELECT * FROM users WHERE id = $1', 'SELECT users'],
    ['postgresql', 'select 1', 'SELECT'],
    ['postgresql', 'SELECT * FROM songs, artists WHERE songs.artist_id = artists.id', 'SELECT songs artists'],
    ['postgresql', 'SELECT * FROM a x LEFT JOIN b AS y ON x.i = y.i, c WHERE f(x, y) ORDER BY d, e', 'SELECT a b c'],
    ['postgresql', 'SELECT o FROM (SELECT * FROM orders o JOIN customers c ON o.c = c.id) t', 'SELECT SELECT orders customers'],
    ['postgresql', 'SELECT * FROM songs WHERE artist IN (SELECT id FROM artists)', 'SELECT songs SELECT artists'],
    ['postgresql', 'SELECT a FROM t1 UNION ALL SELECT b FROM t2 ORDER BY 1, 2', 'SELECT t1 SELECT t2'],
    ['postgresql', 'INSERT INTO shipping_details (order_id) SELECT order_id FROM orders', 'INSERT shipping_details SELECT orders'],
    ['postgresql', 'INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING id', 'INSERT t'],
    ['postgresql', 'WITH x AS (SELECT a FROM t1), y (b) AS (SELECT 1 FROM x) UPDATE t2 SET a = x.a FROM x', 'SELECT t1 SELECT UPDATE t2'],
    [
      'postgresql',
      'WITH RECURSIVE n AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT * FROM n JOIN public.n ON true',
      'SELECT SELECT SELECT public.n',
    ],
    ['postgresql', 'SELECT extract(year FROM created), trim(both FROM name) FROM ONLY public."song list" s', 'SELECT public."song list"'],
    ['postgresql', 'SELECT a IS DISTINCT FROM b FROM t FOR UPDATE OF t SKIP LOCKED', 'SELECT t'],
    ['postgresql', 'SELECT * FROM generate_series(1, 3) g, unnest($1) WITH ORDINALITY AS u, "Users"', 'SELECT Users'],
    ['postgresql', 'DELETE FROM a USING b WHERE a.i = b.i', 'DELETE a b'],
    [
      'postgresql',
      'MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET x = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)',
      'MERGE t s',
    ],
    ['postgresql', 'TRUNCATE TABLE ONLY a, b CASCADE', 'TRUNCATE a b'],
    ['postgresql', 'CREATE TABLE IF NOT EXISTS shop.orders (id int REFERENCES users (id) ON DELETE CASCADE)', 'CREATE TABLE shop.orders'],
    ['postgresql', 'CREATE TEMP TABLE x AS SELECT * FROM y', 'CREATE TABLE x SELECT y'],
    ['postgresql', 'CREATE OR REPLACE VIEW v AS WITH c AS (SELECT * FROM t) SELECT * FROM c', 'CREATE VIEW v SELECT t SELECT'],
    ['postgresql', 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON public.users (x)', 'CREATE INDEX i public.users'],
    ['postgresql', 'CREATE FUNCTION f() RETURNS int AS $$ SELECT 1 FROM t; $$ LANGUAGE sql; SELECT 1', 'CREATE FUNCTION f'],
    ['postgresql', 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"', 'CREATE EXTENSION uuid-ossp'],
    ['postgresql', 'ALTER TABLE IF EXISTS ONLY a ADD COLUMN b int', 'ALTER TABLE a'],
    ['postgresql', 'DROP TABLE IF EXISTS a, b.c CASCADE', 'DROP TABLE a b.c'],
    ['postgresql', "CREATE USER bob WITH PASSWORD 'x'", 'CREATE USER'],
    ['postgresql', 'REFRESH MATERIALIZED VIEW CONCURRENTLY v', 'REFRESH MATERIALIZED VIEW v'],
    ['postgresql', 'CALL shop.restock($1)', 'CALL shop.restock'],
    ['postgresql', 'EXECUTE prepared_17(1)', 'EXECUTE'],
    ['postgresql', 'EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM t', 'EXPLAIN SELECT t'],
    ['postgresql', 'DECLARE c1 CURSOR FOR SELECT * FROM t', 'DECLARE SELECT t'],
    ['postgresql', 'FETCH 100 FROM c1', 'FETCH'],
    ['postgresql', 'CLOSE c1', 'CLOSE'],
    ['postgresql', 'COPY t (a) FROM STDIN;\n1\tselect x from y;', 'COPY t'],
    ['postgresql', 'COPY (SELECT a FROM t) TO STDOUT', 'COPY SELECT t'],
    ['postgresql', 'VACUUM (FULL, ANALYZE) t', 'VACUUM t'],
    ['postgresql', 'LOCK TABLE t IN EXCLUSIVE MODE', 'LOCK t'],
    ['postgresql', 'LISTEN jobs', 'LISTEN'],
    ['postgresql', "NOTIFY jobs, 'x'", 'NOTIFY'],
    ['postgresql', 'VALUES (1), (2)', 'VALUES'],
    ['postgresql', 'TABLE users', 'TABLE users'],
    ['postgresql', 'BEGIN ISOLATION LEVEL SERIALIZABLE', 'BEGIN'],
    ['postgresql', 'START TRANSACTION READ ONLY', 'START TRANSACTION'],
    ['postgresql', 'SAVEPOINT s17', 'SAVEPOINT'],
    ['postgresql', 'RELEASE s17', 'RELEASE SAVEPOINT'],
    ['postgresql', 'ROLLBACK TO s17', 'ROLLBACK TO SAVEPOINT'],
    ['postgresql', 'ROLLBACK', 'ROLLBACK'],
    ['postgresql', 'SET search_path TO x', 'SET'],
    ['postgresql', 'SHOW server_version', 'SHOW'],
    ['postgresql', 'BEGIN; INSERT INTO a VALUES (1); COMMIT', 'BEGIN INSERT a COMMIT'],
    ['postgresql', 'INSERT INTO a VALUES (1); INSERT INTO a VALUES (2);', 'BATCH INSERT a'],
    ['mysql', 'SELECT * FROM `shop`.`orders` o STRAIGHT_JOIN users USING (id)', 'SELECT shop.orders users'],
    ['mysql', 'REPLACE INTO t SET a = REPLACE(b, 1, 2)', 'REPLACE t'],
    ['mysql', 'INSERT IGNORE INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a)', 'INSERT t'],
    ['mysql', 'DELETE a FROM a JOIN b ON a.i = b.i', 'DELETE a b'],
    ['mysql', 'UPDATE a, b SET a.x = b.x WHERE a.i = b.i', 'UPDATE a b'],
    ['mysql', '/*!40000 ALTER TABLE t DISABLE KEYS */', 'ALTER TABLE t'],
    ['mysql', 'LOCK TABLES t READ, u WRITE', 'LOCK t u'],
    ['mysql', 'DESCRIBE users', 'DESCRIBE users'],
    ['mysql', 'USE shop', 'USE shop'],
    ['sqlite', 'INSERT OR REPLACE INTO "users" ("id") VALUES (?)', 'INSERT users'],
    ['sqlite', 'SELECT * FROM [a b], "c"', 'SELECT [a b] c'],
    ['sqlite', 'PRAGMA foreign_keys = ON', 'PRAGMA'],
    ['sqlite', 'CREATE VIRTUAL TABLE notes USING fts5(body)', 'CREATE TABLE notes'],
    ['mssql', 'UPDATE u SET a = 1 FROM dbo.[users] u WITH (NOLOCK) WHERE u.id = @p1', 'UPDATE dbo.users'],
    ['mssql', 'DELETE TOP (5) u FROM users u', 'DELETE users'],
    ['mssql', 'MERGE users AS t USING (SELECT @a) AS s (a) ON t.a = s.a WHEN MATCHED THEN DELETE;', 'MERGE users SELECT'],
    ['mssql', 'EXEC @r = dbo.[getUser] @id = 5', 'EXEC dbo.getUser'],
    ['mssql', 'SELECT * FROM a CROSS APPLY f(a.x) EXEC p b, c', 'SELECT a'],
    ['mssql', 'SAVE TRANSACTION s1', 'SAVE TRANSACTION'],
    ['other', '{? = call shop.restock(1)}', 'CALL shop.restock'],
    ['other', 'gibberish in here', undefined],
    ['other', '', undefined],
  ])('names operations and tables in order: %s: %s', (dialect, text, summary) => {
    expect(describeStatement(text, dialect).summary).toBe(summary);
  });

  it('has at most 255 characters and ends with a whole word', () => {
    const names = Array.from({ length: 100 }, (_, index) => `table_${index}`);
    const summary = describeStatement(`SELECT * FROM ${names.join(', ')}`, 'postgresql').summary ?? '';
    expect(summary.length).toBeLessThanOrEqual(255);
    expect(names).toContain(summary.split(' ').at(-1));
  });
});

describe('The attributes of a SQL statement', () => {
  it.each<[SqlDialect, string, string | undefined, string | undefined, string | undefined]>([
    ['postgresql', 'select * from "public"."users"', 'SELECT', 'public.users', undefined],
    ['postgresql', 'SELECT * FROM users a JOIN users b ON a.i = b.j', 'SELECT', 'users', undefined],
    ['postgresql', 'SELECT * FROM users JOIN orders ON true', 'SELECT', undefined, undefined],
    ['postgresql', 'WITH x AS (SELECT 1) DELETE FROM t', 'DELETE', 't', undefined],
    ['postgresql', 'CREATE INDEX i ON t (a)', 'CREATE INDEX', 't', undefined],
    ['postgresql', 'CREATE DATABASE shop', 'CREATE DATABASE', undefined, undefined],
    ['postgresql', 'INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)', 'BATCH INSERT', undefined, undefined],
    ['postgresql', 'INSERT INTO a VALUES (1); SELECT 1', undefined, undefined, undefined],
    ['postgresql', 'CALL restock(1)', 'CALL', undefined, 'restock'],
    ['mssql', 'EXECUTE dbo.restock 1', 'EXECUTE', undefined, 'dbo.restock'],
    ['mysql', 'SELECT * FROM "users"', 'SELECT', undefined, undefined],
  ])('are operation, table and procedure: %s: %s', (dialect, text, operation, collection, procedure) => {
    expect(describeStatement(text, dialect)).toMatchObject({ operation, collection, procedure });
  });
});

describe('The text of a SQL statement', () => {
  it.each<Row>([
    [
      'postgresql',
      "SELECT  a,\n b FROM t -- c\nWHERE x = 'y' /* z /* n */ z */ AND n > -1.5e+3",
      'SELECT a, b FROM t WHERE x = ? AND n > -?',
    ],
    [
      'postgresql',
      'SELECT a FROM t WHERE b = $1 AND c = ANY($2::int[]) AND d ? $3',
      'SELECT a FROM t WHERE b = $1 AND c = ANY($2::int[]) AND d ? $3',
    ],
    ['postgresql', "SELECT d->>'k', $$x$$, $a$b$$c$a$, U&'x', X'1f', E'a\\'b' 'c\\'d'", 'SELECT d->>?, ?, ?, ?, ?, ? ?'],
    [
      'postgresql',
      'SELECT a1, "b 2" FROM t3 WHERE a IN (1, 2, 3) AND b IN ($1, $2)',
      'SELECT a1, "b 2" FROM t3 WHERE a IN (?) AND b IN ($1, $2)',
    ],
    ['postgresql', 'INSERT INTO t VALUES (1, now()), (2, now()), (3, $1)', 'INSERT INTO t VALUES (?, now()), (?, $1)'],
    [
      'postgresql',
      'SELECT a FROM t WHERE b = TRUE AND c IS NOT FALSE AND d IS NULL',
      'SELECT a FROM t WHERE b = ? AND c IS NOT FALSE AND d IS NULL',
    ],
    ['postgresql', 'SELECT a[1:2], b::numeric(10,2) FROM t', 'SELECT a[?:?], b::numeric(?,?) FROM t'],
    ['postgresql', "SELECT 'C:\\' AS a, b", 'SELECT ? AS a, b'],
    ['postgresql', 'COPY t (a) FROM STDIN;\n4929\tsecret', 'COPY t (a) FROM STDIN?'],
    ['postgresql', 'SET app.user = secret', 'SET app.user = ?'],
    ['postgresql', 'SET search_path TO a, "b"', 'SET search_path TO ?, ?'],
    ['postgresql', 'ALTER ROLE bob SET app.token = abc', 'ALTER ROLE bob SET app.token = ?'],
    [
      'postgresql',
      "CREATE USER bob WITH PASSWORD 'x' VALID UNTIL 'y'; SELECT a FROM t",
      'CREATE USER bob WITH PASSWORD ?; SELECT a FROM t',
    ],
    ['postgresql', "SELECT 'never closed FROM t", 'SELECT ?'],
    ['mysql', "SELECT \"a\", `b`, 'it\\'s', _utf8mb4'x', 0x1F, b'01' FROM t # c", 'SELECT ?, `b`, ?, _utf8mb4?, ?, ? FROM t'],
    ['mysql', 'SELECT 5--3, 2*/*secret*/3 -- x', 'SELECT ?--?, ?* ?'],
    ['mysql', 'SELECT /*!50000 a, */ b FROM t', 'SELECT a, b FROM t'],
    ['mysql', 'SET PASSWORD FOR bob = secret', 'SET PASSWORD ?'],
    ['mysql', "CREATE USER 'bob'@'%' IDENTIFIED BY 'x' REQUIRE SSL", 'CREATE USER ?@? IDENTIFIED ?'],
    ['mysql', 'SELECT @a, @@global.x FROM t WHERE a = ? AND b = :name', 'SELECT @a, @@global.x FROM t WHERE a = ? AND b = :name'],
    [
      'sqlite',
      'SELECT "u"."id" AS "x" FROM "users" "u", "b" WHERE "u"."n" = "secret"',
      'SELECT "u"."id" AS "x" FROM "users" "u", "b" WHERE "u"."n" = ?',
    ],
    ['sqlite', 'UPDATE "t" SET "a" = "x", "b" = ?2 WHERE c = $c', 'UPDATE "t" SET "a" = ?, "b" = ?2 WHERE c = $c'],
    ['sqlite', 'INSERT INTO "t" ("a", "b") VALUES ("x", x\'1f\')', 'INSERT INTO "t" ("a", "b") VALUES (?, ?)'],
    ['sqlite', 'SELECT TRIM("x" FROM "y"), "a" IS DISTINCT FROM "b" FROM "t"', 'SELECT TRIM(? FROM ?), ? IS DISTINCT FROM ? FROM "t"'],
    ['sqlite', 'PRAGMA key = "secret"', 'PRAGMA key = ?'],
    ['sqlite', 'PRAGMA key(secret)', 'PRAGMA key(?)'],
    ['sqlite-names', 'select "id" from "users" where "name" = ? and x = \'y\'', 'select "id" from "users" where "name" = ? and x = ?'],
    ['mssql', "SELECT [a b], N'x', $12.50, €5, #t.c FROM #t WHERE a = @p1", 'SELECT [a b], ?, ?, ?, #t.c FROM #t WHERE a = @p1'],
    ['mssql', 'EXEC @r = dbo.login bob, secret, @x OUTPUT', 'EXEC @r = dbo.login ?, ?, @x OUTPUT'],
    ['mssql', "CREATE LOGIN bob WITH PASSWORD = N'x', CHECK_POLICY = OFF", 'CREATE LOGIN bob WITH PASSWORD ?'],
    ['other', "SELECT q'[it's]', :1, :name FROM t", 'SELECT ?, :1, :name FROM t'],
    ['other', "SELECT 'a\\', 'secret' FROM t", 'SELECT ?'],
    ['other', 'ALTER USER bob IDENTIFIED BY "secret" REPLACE old', 'ALTER USER bob IDENTIFIED ?'],
    ['other', 'IDENTIFIED BY secret', 'IDENTIFIED ?'],
    ['other', 'CONNECT bob PASSWORD secret', 'CONNECT ? ? ?'],
    ['other', 'SELECT r"""it is "secret" here""" FROM t', 'SELECT r?'],
    ['mysql', 'SELECT /*!99999 secret */ a FROM t', 'SELECT a FROM t'],
    ['mysql', 'SELECT /*!90700 a */ FROM t', 'SELECT a FROM t'],
    ['mssql', 'SELECT $secret, $action FROM t', 'SELECT ?, $action FROM t'],
    ['postgresql', 'SET SESSION AUTHORIZATION secret', 'SET SESSION AUTHORIZATION ?'],
    ['postgresql', 'SET LOCAL ROLE "secret"; SELECT a FROM t', 'SET LOCAL ROLE ?; SELECT a FROM t'],
    ['postgresql', "LISTEN secret; NOTIFY secret, 'x'; SELECT a FROM t", 'LISTEN ?; NOTIFY ?, ?; SELECT a FROM t'],
  ])('has no values: %s: %s', (dialect, text, shown) => {
    expect(describeStatement(text, dialect).text).toBe(shown);
  });

  it('has at most 4096 characters, while the summary reads on', () => {
    const columns = Array.from({ length: 1000 }, (_, index) => `"u"."column_${index}"`);
    const { text, summary } = describeStatement(`SELECT ${columns.join(', ')} FROM "users" "u"`, 'postgresql');
    expect(text.length).toBeLessThanOrEqual(4096);
    expect(text.length).toBeGreaterThan(4000);
    expect(summary).toBe('SELECT users');
  });

  it('is short for many rows and long lists', () => {
    const rows = Array.from({ length: 1000 }, (_, index) => `(${index}, 'x')`);
    expect(describeStatement(`INSERT INTO t VALUES ${rows.join(', ')}`, 'mysql').text).toBe('INSERT INTO t VALUES (?, ?)');
    expect(describeStatement(`SELECT a FROM t WHERE b IN (${rows.map(() => '?').join(', ')})`, 'mysql').text).toBe(
      'SELECT a FROM t WHERE b IN (?)',
    );
  });
});
