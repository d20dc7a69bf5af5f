import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../../../sample/runner/program.js';
import { OwnProcess, programOf } from '../../own-process.js';
import { describeWith, postgres } from './servers.js';
import { addressOf, databaseWithUsers, SECRET, type Settings } from './users-table.js';

const SCHEMA = `
generator client {
  provider = "prisma-client-js"
  output   = "./client"
}
datasource db {
  provider = "postgresql"
}
model User {
  id   Int    @id
  name String @unique
  @@map("users")
}
`;

/** Generating a client needs no engine and no network if this names a program that exists. */
const OFFLINE = { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' };

interface Shown {
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

// Jest runs no WebAssembly in its modules, and Prisma's query compiler is some.
describeWith(postgres, '@prisma/client')('a statement through Prisma', () => {
  let settings: Settings;
  let folder: string;
  let program: OwnProcess;
  const said = async <T>(name: string): Promise<T> => JSON.parse(await program.says(name)) as T;

  beforeAll(async () => {
    settings = await databaseWithUsers();
    folder = mkdtempSync(join(process.cwd(), 'node_modules/.cache/prisma-'));
    writeFileSync(join(folder, 'schema.prisma'), SCHEMA);
    const args = ['node_modules/prisma/build/index.js', 'generate', '--schema', join(folder, 'schema.prisma')];
    const { code, output } = await Program.run({ command: process.execPath, args, env: OFFLINE }, 60_000);
    if (code !== 0) throw new Error(`The client was not generated:\n${output}`);
    const file = await programOf('test/integrations/databases/prisma.fixture.ts');
    program = OwnProcess.start(file, { SPEC_CLIENT: join(folder, 'client'), SPEC_PORT: String(settings.port), SPEC_SECRET: SECRET });
    await program.says('end');
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is a CLIENT span, and knows its server if its adapter is traced', async () => {
    const [alone, ...others] = await said<Shown[]>('alone one');
    expect(others).toEqual([]);
    const attributes = {
      'db.system.name': 'postgresql',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'public.users',
      'db.query.summary': 'SELECT public.users',
      'db.query.text': expect.stringMatching(/^SELECT "public"\."users"\."id"/) as string,
    };
    expect(alone).toMatchObject({ name: 'SELECT public.users', kind: 2, attributes });
    expect(alone?.attributes).toEqual(attributes);
    expect((await said<Shown[]>('traced one')).map(span => span.attributes)).toEqual([{ ...attributes, ...addressOf(settings) }]);
  });

  it('is one span also in transactions, in the request that made it', async () => {
    const both = ['COMMIT', 'ROLLBACK'].map(
      end => `SELECT public.users, BEGIN, UPDATE public.users, SELECT, ${end}, BEGIN, SELECT public.users, SELECT public.users, COMMIT`,
    );
    expect(await said('alone many')).toEqual(both);
    expect(await said('traced many')).toEqual(both);
  });

  it('is one span inside of a savepoint, which has one itself if the adapter is traced', async () => {
    expect(await said('alone nested')).toEqual(['BEGIN', 'SELECT public.users', 'COMMIT']);
    expect(await said('traced nested')).toEqual(['BEGIN', 'SAVEPOINT', 'SELECT public.users', 'RELEASE SAVEPOINT', 'COMMIT']);
  });

  it('fails with SQLSTATE and shows no value, also on the span of the request', async () => {
    for (const kind of ['alone', 'traced']) {
      const failed: [name: string, type: string, message: string][][] = await said(`${kind} failed`);
      const duplicate = ['INSERT public.users', '23505', 'duplicate key value violates unique constraint "users_pkey"'];
      const invalid = ['SELECT', '22P02', 'invalid input syntax for type integer: ?'];
      expect(failed).toEqual([[duplicate], [invalid], [invalid], [invalid], []]);
    }
    expect(program.lines.filter(line => line.startsWith('LEAK'))).toEqual([]);
  });

  it('has no span any more after the application is closed', async () => {
    expect(await said('alone closed')).toEqual([[], []]);
    expect(await said('traced closed')).toEqual([[], []]);
  });

  it('has the span of Prisma’s own instrumentation, where that is at work', async () => {
    const file = await programOf('test/integrations/databases/prisma-official.fixture.ts');
    const official = OwnProcess.start(file, { SPEC_CLIENT: join(folder, 'client'), SPEC_PORT: String(settings.port) });
    const spans = JSON.parse(await official.says('spans')) as string[];
    await official.ended;
    expect(spans.filter(span => span.startsWith('nestjs-tracing'))).toEqual(['nestjs-tracing: request']);
    expect(spans.filter(span => span === 'prisma: prisma:client:db_query')).toHaveLength(1);
  });
});
