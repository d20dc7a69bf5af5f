import { OwnProcess, programOf } from '../../own-process.js';
import { describeWith, redis as server, serverOf } from './servers.js';

describeWith(server, 'Redis')('a Redis client beside its official instrumentation', () => {
  it('has the spans of that instrumentation and no others', async () => {
    const { port } = await serverOf(server);
    const program = OwnProcess.start(await programOf(`${import.meta.dirname}/redis-official.fixture.ts`), { SPEC_PORT: String(port) });
    const spans = async (name: string): Promise<unknown> => JSON.parse(await program.says(name));
    expect(await spans('held')).toEqual(['instrumentation-ioredis: get']);
    expect(await spans('hidden')).toEqual(['instrumentation-ioredis: get']);
    expect(await spans('pipeline')).toEqual(['instrumentation-ioredis: get']);
    expect(await spans('node')).toEqual(['instrumentation-redis: redis-GET']);
    expect(await spans('multi')).toEqual(['instrumentation-redis: redis-GET']);
    expect(await spans('older')).toEqual(['instrumentation-redis: redis-GET']);
    await program.ended;
  });
});
