/** Errors of users that repeat those of a database: no value that was sent is exported, and the rest stays readable. */
import { inspect } from 'node:util';
import { BadRequestException, ConflictException, HttpException } from '@nestjs/common';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import knex from 'knex';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { describeWith } from '../queue-application.js';
import { DatabaseApplication } from './database-application.js';
import { postgres } from './servers.js';
import { databaseWithUsers, SECRET } from './users-table.js';

type DatabaseError = Error & { readonly detail?: string; readonly driverError?: { readonly detail?: string } };

const REPEATING: readonly (readonly [string, (error: DatabaseError) => unknown])[] = [
  ['its message as JSON', ({ message }) => new BadRequestException(JSON.stringify({ message }))],
  ['a part of its message', ({ message }) => new Error(message.slice(0, 60))],
  ['its message in one line', ({ message }) => new Error(message.replace(/\s+/g, ' '))],
  ['the first line of its message', ({ message }) => new Error(message.split('\n')[0])],
  ['its message after other words', ({ message }) => new Error(`Could not do it: ${message}`)],
  ['its message as a cause', ({ message }) => new Error('It failed.', { cause: new Error(message) })],
  ['its detail', ({ detail, driverError }) => new ConflictException(detail ?? driverError?.detail ?? 'no detail')],
  ['all that is JSON', error => new Error(JSON.stringify(error))],
  ['its members', error => new HttpException(Object.assign({}, error), 500)],
  ['its members in a cause', error => new Error('It failed.', { cause: Object.assign({}, error) })],
  ['its inspection', error => new Error(inspect(error))],
  ['its stack', ({ stack }) => new Error(stack)],
  ['a clone of it', error => structuredClone(error)],
  [
    'an exception that the user records',
    error => {
      trace.getActiveSpan()?.recordException(error);
      trace.getActiveSpan()?.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      return new Error('It failed.');
    },
  ],
];

describeWith(postgres, 'errors that repeat those of a database')('an error of the user that repeats that of a database', () => {
  let application: DatabaseApplication;
  let close: () => Promise<unknown>;
  const failing = new Map<string, () => Promise<unknown>>();

  beforeAll(async () => {
    const settings = await databaseWithUsers();
    const pool = new pg.Pool({ ...settings, max: 50 });
    await pool.query(`INSERT INTO users VALUES (0, '${SECRET}')`);
    const dataSource = await new DataSource({ type: 'postgres', username: settings.user, ...settings }).initialize();
    const builder = knex({ client: 'pg', connection: { ...settings } });
    application = await DatabaseApplication.start({ pool, dataSource, builder });
    close = () => Promise.all([pool.end(), dataSource.destroy(), builder.destroy()]);
    failing
      .set('a value of a wrong type', () => pool.query('SELECT $1::int', [`a"${SECRET}"\n'b'\\`]))
      .set('a very long value', () => pool.query('SELECT $1::int', [SECRET.repeat(400)]))
      .set('a value that exists', () => pool.query('INSERT INTO users VALUES ($1, $2)', [-1, SECRET]))
      .set('a value that exists, through TypeORM', () => dataSource.query('INSERT INTO users VALUES ($1, $2)', [-1, SECRET]))
      .set('a value that exists, through Knex', () => builder('users').insert({ id: -1, name: SECRET }))
      .set('a text that a program raises', () => pool.query(`DO $$ BEGIN RAISE EXCEPTION '${SECRET}'; END $$`))
      .set('a short text that a program raises', () => pool.query(`DO $$ BEGIN RAISE EXCEPTION '${SECRET.slice(0, 8)}'; END $$`))
      .set('a path', () => pool.query(`COPY users FROM '/${SECRET}'`));
  });
  afterAll(async () => {
    await application.close();
    await close();
  });

  it.each(REPEATING)('shows no value: %s', async (_what, errorOf) => {
    const leaking: string[] = [];
    for (const [what, fail] of failing) {
      const repeating = () =>
        fail().catch((error: unknown) => {
          throw errorOf(error as DatabaseError);
        });
      await application.during(repeating).catch(() => undefined);
      if (application.exported.includes(SECRET.slice(0, 8))) leaking.push(`${what} in ${application.exported}`);
    }
    expect(leaking).toEqual([]);
  });

  it('shows no value where 100 requests fail at the same time', async () => {
    let failed = 0;
    let allHaveFailed = (): void => undefined;
    const all = new Promise<void>(resolve => (allHaveFailed = resolve));
    const failInRequest = () =>
      application.inRequest(async () => {
        await failing.get('a value of a wrong type')!().catch(async (error: unknown) => {
          if (++failed === 100) allHaveFailed();
          await all;
          throw new Error((error as Error).message);
        });
      });
    application.recorder.clear();
    await Promise.allSettled(Array.from({ length: 100 }, failInRequest));
    expect(application.named('request')).toHaveLength(100);
    expect(application.exported).not.toContain(SECRET);
  });

  it('keeps what was no value', async () => {
    const shown = async (what: string, errorOf: (error: DatabaseError) => Error): Promise<string | undefined> => {
      const rethrowing = () =>
        failing.get(what)!().catch((error: unknown) => {
          throw errorOf(error as DatabaseError);
        });
      await application.during(rethrowing).catch(() => undefined);
      return application.named('request')[0]?.status.message;
    };
    await expect(shown('a value that exists', ({ detail }) => new Error(`Refused: ${detail}`))).resolves.toBe(
      'Refused: Key (name)=(?) already exists.',
    );
    await expect(shown('a value that exists', ({ message }) => new Error(`Refused: ${message}`))).resolves.toBe(
      'Refused: duplicate key value violates unique constraint "users_name_key"',
    );
    await expect(shown('a value that exists', () => new Error('No order "A-17" for "alice".'))).resolves.toBe(
      'No order "A-17" for "alice".',
    );
  });
});
