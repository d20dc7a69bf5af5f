/** Builds the application in one set-up on one adapter, ready to listen. */

/** What is to be traced is loaded after the set-up: official instrumentations see it only then. */
export async function createApplication(setUpName, adapterName, options) {
  const { setUp } = await import(`../set-ups/${setUpName}.mjs`);
  const { imports = [], Span, beforeListen, instrument } = await setUp(options);
  const { NestFactory } = await import('@nestjs/core');
  const { usersModule } = await import('./users.mjs');
  const app = await NestFactory.create(usersModule({ imports, Span }), await newAdapter(adapterName), {
    logger: ['error', 'warn'],
    instrument,
  });
  await app.init();
  await beforeListen?.(app);
  return app;
}

async function newAdapter(name) {
  if (name === 'express') return new (await import('@nestjs/platform-express')).ExpressAdapter();
  return new (await import('@nestjs/platform-fastify')).FastifyAdapter();
}
