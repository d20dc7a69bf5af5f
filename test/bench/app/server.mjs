/** The process that is measured: one Nest application in one variant on one adapter, which tells its parent what it has used and made. */
import { spansDropped } from './dropping.exporter.mjs';
import { answer, tell } from './parent.mjs';

const [setUpName, adapterName, optionsJson] = process.argv.slice(2);
// What is to be traced is loaded after the set-up: official instrumentations see it only then.
const { setUp } = await import(`../set-ups/${setUpName}.mjs`);
const { imports = [], Span, beforeListen } = await setUp(JSON.parse(optionsJson));
const { NestFactory } = await import('@nestjs/core');
const { requestsHandled, usersModule } = await import('./users.mjs');

const app = await NestFactory.create(usersModule({ imports, Span }), await newAdapter(), { logger: ['error', 'warn'] });
await app.init();
await beforeListen?.(app);
await app.listen(0, '127.0.0.1');
const listening = { port: app.getHttpServer().address().port, cpuUs: cpuUs() };

answer({
  sample: () => ({ cpuUs: cpuUs(), handled: requestsHandled(), spans: spansDropped() }),
  startProfile: async () => (await import('./profiler.mjs')).startProfile(),
  stopProfile: async details => (await import('./profiler.mjs')).stopProfile(details),
});
tell(listening);

async function newAdapter() {
  if (adapterName === 'express') return new (await import('@nestjs/platform-express')).ExpressAdapter();
  return new (await import('@nestjs/platform-fastify')).FastifyAdapter();
}

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}
