/** Runs the application as a process: one journey, then a clean end. */
import { NestFactory } from '@nestjs/core';
import { AppModule, listen } from './greetings.js';
import { checkJourney } from './journey.js';

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  await checkJourney(await listen(app));
  await app.close();
  console.log('journey ok');
}

void main();
