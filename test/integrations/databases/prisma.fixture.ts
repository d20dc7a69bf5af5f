/** Queries of a generated Prisma client. Prints what their spans are. Needs `SPEC_CLIENT`, the folder of the client, and `SPEC_PORT`. */
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { traceDatabase } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { DatabaseApplication, namesOf } from './database-application.js';

const SECRET = process.env.SPEC_SECRET ?? '';

/** The used members of the client. */
interface Client {
  readonly user: Record<'findFirst' | 'findMany' | 'update' | 'create', (query: object) => Promise<unknown>>;
  $transaction<T>(work: readonly T[] | ((client: Client) => Promise<T>), options?: object): Promise<unknown>;
  $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>;
  $disconnect(): Promise<void>;
}

const { PrismaClient } = createRequire(import.meta.url)(process.env.SPEC_CLIENT ?? '') as { PrismaClient: new (options: object) => Client };

function connect(trace: (adapter: PrismaPg) => PrismaPg): Client {
  const adapter = trace(
    new PrismaPg({ host: '127.0.0.1', port: Number(process.env.SPEC_PORT), user: 'postgres', database: 'postgres', max: 5 }),
  );
  return new PrismaClient({ adapter, errorFormat: 'pretty', transactionOptions: { maxWait: 30_000, timeout: 30_000 } });
}

function say(name: string, value: unknown): void {
  console.log(name, JSON.stringify(value));
}

const short = ({ name, kind, attributes, status }: FinishedSpan) => ({ name, kind, attributes, status });

/** One line for each different list of names. */
function kinds(requests: readonly FinishedSpan[][]): string[] {
  return [...new Set(requests.map(spans => namesOf(spans).join(', ')))].sort();
}

for (const [kind, client] of [
  ['alone', connect(adapter => adapter)],
  ['traced', connect(traceDatabase)],
] as const) {
  const application = await DatabaseApplication.start({ client });
  const first = () => client.user.findFirst({ where: { id: 7 } });
  await first();
  say(`${kind} one`, (await application.during(first)).map(short));
  const requests = await application.concurrently(100, async index => {
    await client.user.findFirst({ where: { id: index + 1 } });
    const failing = client.$transaction(async inner => {
      await inner.user.update({ where: { id: index + 1 }, data: { name: `${kind} ${index}` } });
      await inner.$queryRawUnsafe('SELECT $1::int', index);
      if (index % 2) throw new Error('not this time');
    });
    await (index % 2 ? failing.catch(() => undefined) : failing);
    await client.$transaction([client.user.findMany({ take: 1 }), client.user.findFirst({ where: { id: -1 } })]);
  });
  say(`${kind} many`, kinds(requests));
  const nested = () =>
    client.$transaction(async outer => {
      await outer.$transaction(inner => inner.user.findFirst({ where: { id: 7 } }));
    });
  say(`${kind} nested`, namesOf(await application.during(nested)));
  const failed: unknown[] = [];
  for (const fail of [
    () => client.user.create({ data: { id: 1, name: SECRET } }),
    () => client.$queryRawUnsafe(`SELECT '${SECRET}'::int`),
    () => client.$queryRawUnsafe(`SELECT 'x\n${SECRET}'::int`),
    () => client.$queryRawUnsafe('SELECT $1::int', `x\n\n${SECRET} " at`),
    () => client.user.findFirst({ where: { id: SECRET } }),
  ]) {
    const spans = await application.during(() => fail().catch(() => undefined));
    failed.push(spans.map(({ name, attributes, status }) => [name, attributes['error.type'], status.message]));
    await application.during(fail).catch(() => undefined);
    if (application.exported.includes(SECRET)) say('LEAK', application.exported);
  }
  say(`${kind} failed`, failed);
  await application.close();
  application.recorder.clear();
  await first();
  say(`${kind} closed`, [namesOf([...application.recorder.spans]), Object.keys(globalThis).filter(name => name.includes('PRISMA_INSTR'))]);
  await client.$disconnect();
}
console.log('end');
