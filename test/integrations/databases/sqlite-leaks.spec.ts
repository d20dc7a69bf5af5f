/** Statements to SQLite with secrets in them: no secret may be in anything that is exported. */
import { DataSource } from 'typeorm';
import { DatabaseApplication } from './database-application.js';

const SECRET = 's3cr3tOfAlice';

/** Some of them fail: the error must not show the secret either. */
const STATEMENTS = [
  `INSERT INTO raising VALUES ('x')`,
  `ATTACH DATABASE '/${SECRET}/x' AS other`,
  `SELECT * FROM searched WHERE searched MATCH '${SECRET}:x'`,
  `SELECT * FROM searched WHERE searched MATCH '*${SECRET}'`,
  `SELECT * FROM searched WHERE searched MATCH '"${SECRET}'`,
  `SELECT json_extract('{"a": 1}', '$.${SECRET}[')`,
  `SELECT json('${SECRET}')`,
  `SELECT "${SECRET}"`,
  `SELECT '${SECRET}' FRM x`,
  `SELECT '${SECRET}`,
  `SELECT "${SECRET}`,
  `SELECT x'${SECRET}'`,
  `INSERT INTO leaks VALUES (1, '${SECRET}'), (1, '${SECRET}')`,
  `INSERT INTO leaks VALUES ('${SECRET}', 'x')`,
  `PRAGMA key = '${SECRET}'`,
  `PRAGMA journal_mode = '${SECRET}'`,
  `VACUUM INTO '/${SECRET}/x'`,
  `SELECT load_extension('${SECRET}')`,
  `SELECT 'x' REGEXP '${SECRET}', date('${SECRET}'), abs('${SECRET}')`,
  `SELECT 1 -- ${SECRET}`,
  `SELECT printf('${SECRET}'), likelihood(1, '${SECRET}')`,
];

describe('a statement to SQLite with a secret in it', () => {
  it('leaves none of it in what is exported', async () => {
    const dataSource = await new DataSource({ type: 'sqljs' }).initialize();
    await dataSource.query('CREATE TABLE leaks (id INTEGER PRIMARY KEY, text TEXT UNIQUE)');
    await dataSource.query('CREATE TABLE raising (text TEXT)');
    await dataSource.query(`CREATE TRIGGER refuse BEFORE INSERT ON raising BEGIN SELECT RAISE(ABORT, 'the token ${SECRET} is used'); END`);
    await dataSource.query('CREATE VIRTUAL TABLE searched USING fts5(text)').catch(() => undefined);
    await dataSource.query('CREATE VIRTUAL TABLE IF NOT EXISTS searched USING fts4(text)').catch(() => undefined);
    const application = await DatabaseApplication.start({ dataSource });
    const leaking: string[] = [];
    for (const text of STATEMENTS) {
      await application.during(() => dataSource.query(text)).catch(() => undefined);
      if (application.exported.includes(SECRET)) leaking.push(`${text} in ${application.exported}`);
    }
    await application.close();
    await dataSource.destroy();
    expect(leaking).toEqual([]);
  });
});
