import { OwnProcess, programOf } from '../../own-process.js';
import { describeWith, ferretdb, postgres, serverOf } from './servers.js';

interface Makers {
  readonly knex: readonly string[];
  readonly mongoose?: readonly string[];
}

describeWith(postgres, 'official instrumentations of Knex and Mongoose')('a library above a driver that is instrumented', () => {
  it('has one span for each statement, of the official instrumentation if that makes any', async () => {
    const missing = ferretdb.missing();
    if (missing !== undefined) process.stderr.write(`SKIPPED instrumentation-mongoose: ${missing}\n`);
    const { port } = await serverOf(postgres);
    const mongodb: Record<string, string> = missing === undefined ? { SPEC_MONGODB: String((await serverOf(ferretdb)).port) } : {};
    const file = await programOf('test/integrations/databases/official-orms.fixture.ts');
    const program = OwnProcess.start(file, { SPEC_PG: String(port), ...mongodb });
    const { knex, mongoose } = JSON.parse(await program.says('makers')) as Makers;
    await program.ended;
    // BEGIN and COMMIT have no span of the official instrumentation.
    expect(knex).toEqual(['instrumentation-knex', 'nestjs-tracing', 'instrumentation-knex', 'nestjs-tracing']);
    if (missing === undefined) expect(mongoose).toEqual(['instrumentation-mongoose', 'instrumentation-mongoose']);
  }, 120_000);
});
