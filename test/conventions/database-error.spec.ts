/** What a span says of a database's error, and what it never says. */
import { exceptionAttributes } from '../../lib/conventions/exception.js';
import { databaseErrorCode, databaseErrorText, noteFailedStatement } from '../../lib/conventions/database-error.js';

const SECRET = 's3cr3t-of-alice';

/** An error of PostgreSQL, as `pg` throws it. Its statement's span has read the stack before another library changes the message. */
function postgresError(code: string, message: string): Error {
  const error = Object.assign(new Error(message), { code, severity: 'ERROR' });
  return typeof error.stack === 'string' ? error : new Error('no stack');
}

/** Knex puts the statement, with its values, before the message. */
function throughKnex(error: Error, statement: string): Error {
  error.message = `${statement} - ${error.message}`;
  return error;
}

/** MikroORM 6 makes an error of its own out of that of Knex. */
function throughMikroOrm(error: Error): Error {
  return Object.assign(new Error(error.message), error, { name: 'DriverException' });
}

describe('the message of a database error', () => {
  const sent = 'duplicate key value violates unique constraint "users_pkey"';

  it('is what the database has sent, without the statement that Knex puts before it', () => {
    const error = throughKnex(postgresError('23505', sent), `insert into "users" ("name") values ('${SECRET}')`);
    expect(databaseErrorText(error)).toBe(sent);
    expect(databaseErrorText(throughMikroOrm(error))).toBe(sent);
    expect(databaseErrorCode(throughMikroOrm(error))).toBe('23505');
  });

  it.each([` - ${SECRET}`, `" - ${SECRET}`, `' - ${SECRET}`, `${SECRET} - `, `\n: ${SECRET} - `, `x" - ${SECRET}"`])(
    'has nothing of a value that contains what separates statement and message: %j',
    value => {
      const error = throughKnex(postgresError('22P02', `invalid input syntax for type integer: "${value}"`), `select '${value}'::int`);
      expect(databaseErrorText(error)).toBe('invalid input syntax for type integer: ?');
      expect(databaseErrorText(throughMikroOrm(error))).toBe('The statement failed.');
      expect(databaseErrorText(new Error(`wrapped: ${error.message}`, { cause: error }))).not.toContain(SECRET);
    },
  );

  it.each(['in "s3cr3t"', "my role 's3cr3t'", 'table "s3cr3t" in "s3cr3t"', 'x" column "s3cr3t', `x' for key 's3cr3t`, 'key "s3cr3t"'])(
    'has nothing of a value that looks like a name: %j',
    value => {
      expect(databaseErrorText(postgresError('22P02', `invalid input syntax for type integer: "${value}"`))).toBe(
        'invalid input syntax for type integer: ?',
      );
      const sqlMessage = `Duplicate entry '${value}' for key 'PRIMARY'`;
      const error = Object.assign(new Error(sqlMessage), { errno: 1062, sqlState: '23000', sqlMessage });
      expect(databaseErrorText(error)).toBe("Duplicate entry ? for key 'PRIMARY'");
      const near = `You have an error in your SQL syntax near '${value}' at line 1`;
      expect(databaseErrorText(Object.assign(new Error(near), { errno: 1064, sqlState: '42000', sqlMessage: near }))).not.toContain(
        's3cr3t',
      );
    },
  );

  it.each([
    'null value in column "name" of relation "users" violates not-null constraint',
    'insert or update on table "orders" violates foreign key constraint "orders_user_fkey"',
  ])('keeps the names in %s', message => {
    expect(databaseErrorText(postgresError('23502', message))).toBe(message);
  });

  it('has no key of a JSON path, which may be a parameter', () => {
    expect(databaseErrorText(postgresError('2203A', 'JSON object does not contain key "s3cr3t"'))).not.toContain('s3cr3t');
  });

  it('is that of MySQL without the statement', () => {
    const sqlMessage = `Duplicate entry '${SECRET} - 1' for key 'PRIMARY'`;
    const error = Object.assign(new Error(`insert into users values ('${SECRET} - 1') - ${sqlMessage}`), {
      errno: 1062,
      sqlState: '23000',
      sqlMessage,
    });
    expect(databaseErrorText(error)).toMatch(/^Duplicate entry \?/);
    expect(databaseErrorText(error)).not.toContain(SECRET);
  });

  it('is that of the cause of an error of Drizzle, whose own message has the statement and its parameters', () => {
    const cause = postgresError('23505', sent);
    const error = Object.assign(new Error(`Failed query: insert into "users" values ($1)\nparams: ${SECRET}`, { cause }), {
      query: 'insert into "users" values ($1)',
      params: [SECRET],
    });
    expect(databaseErrorText(error)).toBe(sent);
    expect(databaseErrorCode(error)).toBe('23505');
  });

  it('is what the database has sent, also where Prisma repeats it', () => {
    const cause = {
      kind: 'InvalidInputValue',
      originalCode: '22P02',
      originalMessage: `invalid input syntax for type integer: "x\n${SECRET}"`,
    };
    const driverAdapterError = Object.assign(new Error('InvalidInputValue', { cause }), { name: 'DriverAdapterError' });
    const error = Object.assign(new Error(`Raw query failed. Message: \`${cause.originalMessage}\``), {
      name: 'PrismaClientKnownRequestError',
      code: 'P2010',
      meta: { driverAdapterError },
    });
    for (const thrown of [error, driverAdapterError]) {
      expect(databaseErrorText(thrown)).toBe('invalid input syntax for type integer: ?');
      expect(databaseErrorCode(thrown)).toBe('22P02');
    }
  });
});

describe('the stack of a database error', () => {
  it('has its frames, and nothing of a value that looks like a frame', () => {
    const value = `x\n    at ${SECRET} (secret.js:1:1)`;
    const error = postgresError('22P02', `invalid input syntax for type integer: "${value}"`);
    const stack = String(exceptionAttributes(error)['exception.stacktrace']);
    expect(stack).toMatch(/^Error: invalid input syntax for type integer: \?\n +at .*database-error\.spec/);
    expect(stack).not.toContain(SECRET);
  });
});

describe('the message of an error that a traced statement has thrown', () => {
  it.each<[string, string, object, string]>([
    ['a value', 'cannot write 12 to s3cr3t/a', { parameters: ['S3cr3t/A'] }, 'cannot write 12 to ?'],
    [
      'a part of a value',
      'relation "s3cr3t" does not exist',
      { parameters: { deep: { er: 'public.S3cr3t' } } },
      'relation ? does not exist',
    ],
    ['a short value', 'column "id" is not "7a"', { parameters: ['id'] }, 'column ?'],
    ['a value in the statement', 'cannot read /s3cr3t.csv', { text: "LOAD '/s3cr3t.csv'", shown: 'LOAD ?' }, 'cannot read ?'],
    ['bytes', 'no type s3cr3t', { parameters: [Buffer.from('s3cr3t')] }, 'no type ?'],
  ])('has nothing of %s', (_what, message, sent, shown) => {
    const error = new Error(message);
    noteFailedStatement(error, sent);
    expect(databaseErrorText(error)).toBe(shown);
    expect(databaseErrorText(Object.assign(new Error('x'), { query: 'y', cause: error }))).toBe(shown);
  });

  it.each<[string, string, object, string]>([
    [
      'at the end',
      'improper qualified name (too many dotted names): s3cr3t.b.c.d',
      { parameters: ['s3cr3t.b.c.d'] },
      'improper qualified name (too many dotted names): ?',
    ],
    [
      'at the beginning',
      'hunter is not a valid encoding name',
      { text: "CREATE DATABASE d ENCODING 'hunter'", shown: 'CREATE DATABASE d ENCODING ?' },
      '? is not a valid encoding name',
    ],
    [
      'as a function',
      'function hunter(integer) does not exist',
      { parameters: ['SELECT hunter(1)'] },
      'function ?(integer) does not exist',
    ],
    ['as a date', 'date field value out of range: 1985-13-45', { parameters: [1985, 13, 45] }, 'date field value out of range: ?'],
    [
      'after the quote of a name',
      'relation "users"s3cr3t" does not exist',
      { text: `SELECT id FROM users WHERE id = '"users""s3cr3t"'`, shown: 'SELECT id FROM users WHERE id = ?' },
      'relation ? does not exist',
    ],
    [
      'between the quotes of names',
      'relation "users" hunter "users" does not exist',
      { parameters: ['"users"" hunter ""users"'], shown: 'SELECT id FROM users WHERE id = $1' },
      'relation ? does not exist',
    ],
    [
      'where it is too long',
      `invalid input syntax for type integer: "a"${'s3cr3t '.repeat(1000)}"`,
      { parameters: ['x'] },
      'invalid input syntax for type integer: ?',
    ],
  ])('of PostgreSQL has no value that it repeats without quotes of its own: %s', (_where, message, sent, shown) => {
    const error = postgresError('42602', message);
    noteFailedStatement(error, sent);
    expect(databaseErrorText(error)).toBe(shown);
  });

  it.each([
    ['duplicate key value violates unique constraint "users_name_key"', 'values of a unique key and users_name_key'],
    ['null value in column "name" of relation "users" violates not-null constraint', 'the name of users'],
    ['insert or update on table "orders" violates foreign key constraint "orders_user_fkey"', 'orders'],
    ['relation "user" does not exist', 'a user is not a relation'],
    ['column user.emal does not exist', 'the column user.emal'],
    ['syntax error at or near "WHER"', 'where'],
  ])('keeps the names in %s, even if they stand in a text that was sent', (message, value) => {
    const error = postgresError('23502', message);
    noteFailedStatement(error, {
      text: '',
      shown: 'SELECT user.emal FROM user WHER id = $1',
      parameters: [value, ...Array.from({ length: 2000 }, () => 1)],
    });
    expect(databaseErrorText(error)).toBe(message);
  });

  it('names the column that SQLite does not have, if the statement names it', () => {
    const shown = 'SELECT emal FROM users WHERE name = ?';
    const known = Object.assign(new Error('no such column: emal'), { code: 'SQLITE_ERROR' });
    noteFailedStatement(known, { text: `SELECT emal FROM users WHERE name = 'hunter'`, shown });
    expect(databaseErrorText(known)).toBe('no such column: emal');
    const sent = Object.assign(new Error('no such column: hunter'), { code: 'SQLITE_ERROR' });
    noteFailedStatement(sent, { text: `SELECT emal FROM users WHERE name = "hunter"`, shown });
    expect(databaseErrorText(sent)).toBe('no such column: ?');
  });

  it('has no name that was sent to MariaDB in a statement of its own', () => {
    for (const [message, text] of [
      ["Table 'test.hunter' doesn't exist", "Table ? doesn't exist"],
      ['FUNCTION test.hunter does not exist', 'FUNCTION ? does not exist'],
      [
        "Incorrect integer value: 'hunter' for column `test`.`users`.`id` at row 1",
        'Incorrect integer value: ? for column `test`.`users`.`id` at row 1',
      ],
    ] as const) {
      const error = Object.assign(new Error(message), { errno: 1146, sqlState: '42S02', sqlMessage: message });
      noteFailedStatement(error, { text: 'EXECUTE IMMEDIATE ?', shown: 'EXECUTE IMMEDIATE ?', parameters: ['SELECT hunter'] });
      expect(databaseErrorText(error)).toBe(text);
    }
  });

  it.each([
    ['separators', ' - '],
    ['spaces', ' '],
    ['braces', '{'],
    ['other failures', 'message of another failure 7 '],
  ])('is made in little time where there are many %s', (_what, part) => {
    for (let index = 0; index < 200; index++) noteFailedStatement(new Error(`message of another failure ${index}`), {});
    const error = postgresError('22P02', part.repeat(1_000_000));
    const start = performance.now();
    noteFailedStatement(error, { text: part.repeat(1_000_000), shown: '?' });
    exceptionAttributes(error);
    exceptionAttributes(new Error(error.message));
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('keeps names of the statement, and words that were not sent', () => {
    const error = new Error('Client was closed and cannot read "users" in column "id"');
    noteFailedStatement(error, {
      text: "SELECT id FROM users WHERE name = 'a'",
      shown: 'SELECT id FROM users WHERE name = ?',
      parameters: [7],
    });
    expect(databaseErrorText(error)).toBe('Client was closed and cannot read ?');
    const known = postgresError('42P01', 'relation "users" does not exist');
    noteFailedStatement(known, { text: "SELECT id FROM users WHERE name = 'a'", shown: 'SELECT id FROM users WHERE name = ?' });
    expect(databaseErrorText(known)).toBe('relation "users" does not exist');
  });

  it.each<[string, unknown]>([
    ['more values than are read', Array.from({ length: 2000 }, () => 'x')],
    ['values that are too deep', [[[[[['x']]]]]]],
    ['values that are too long', ['x'.repeat(200_000)]],
  ])('has no names where there are %s', (_what, parameters) => {
    const error = new Error('relation "s3cr3t" and value');
    noteFailedStatement(error, { parameters });
    expect(databaseErrorText(error)).toBe('? ? ? ?');
  });

  it('is made in little time, however long the texts are', () => {
    const error = new Error(`${'a '.repeat(500_000)}${'word '.repeat(500_000)}`);
    noteFailedStatement(error, {
      text: 'x y '.repeat(500_000),
      parameters: Array.from({ length: 900 }, (_, index) => `value ${index}`.repeat(9)),
    });
    const start = performance.now();
    databaseErrorText(error);
    expect(performance.now() - start).toBeLessThan(500);
  });
});
