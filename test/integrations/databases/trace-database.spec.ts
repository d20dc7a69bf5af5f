import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import pg from 'pg';
import { traceDatabase, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, postgres, serverOf } from './servers.js';

// The specs of this file are in an order: only before the first start is the code for databases not loaded.
describeWith(postgres, 'traceDatabase()')('before the first application starts', () => {
  let early: pg.Pool;
  let settings: pg.PoolConfig;
  beforeAll(async () => {
    settings = { host: '127.0.0.1', port: (await serverOf(postgres)).port, user: 'postgres', database: 'postgres' };
  });
  afterAll(() => early.end());

  it('what is no database at all is refused at once, and an unknown object by the start', async () => {
    expect(() => traceDatabase(7 as unknown as object)).toThrow(TypeError);
    traceDatabase({ find: () => undefined });
    early = traceDatabase(new pg.Pool(settings));
    const tracing = TracingModule.forRoot({ exporter: new TraceRecorder() });
    await expect(Test.createTestingModule({ imports: [tracing] }).compile()).rejects.toThrow(TypeError);
    expect(() => traceDatabase({ find: () => undefined })).toThrow(TypeError);
  });

  it('a pool that was given then is traced in the application, like one that a constructor makes', async () => {
    @Injectable()
    class Repository {
      readonly pool = new pg.Pool(settings);
    }
    const application = await DatabaseApplication.start({}, { providers: [Repository] });
    const { pool } = application.context.get(Repository);
    const spans = await application.during(async () => {
      await early.query('SELECT 1');
      await pool.query('SELECT 2');
    });
    await application.close();
    await pool.end();
    expect(namesOf(spans)).toEqual(['SELECT', 'SELECT']);
  });

  it('a frozen object is refused with what to do, and keeps working', async () => {
    const application = await DatabaseApplication.start({});
    const frozen = Object.freeze(new pg.Client(settings));
    expect(() => traceDatabase(frozen)).toThrow('Call it before Object.freeze()');
    expect(Object.hasOwn(frozen, 'query')).toBe(false);
    await application.close();
  });
});
