/** A microservice and its client over TCP in one process: what a message costs when it is asked for, handled and answered. */
import { performance } from 'node:perf_hooks';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { spansDropped } from './dropping.exporter.mjs';
import { answer, tell } from './parent.mjs';

const AT_ONCE = 16;
const [setUpName, optionsJson] = process.argv.slice(2);
const { setUp } = await import(`../set-ups/${setUpName}.mjs`);
const { imports = [], byHand } = await setUp(JSON.parse(optionsJson));
const port = await freePort();

class Users {
  find(id) {
    return { id, name: `user ${id}` };
  }

  findByHand({ id, headers }) {
    return byHand.serve('users.find', headers, () => this.find(id));
  }
}
Controller()(Users);
for (const [method, pattern] of [
  ['find', 'users.find'],
  ['findByHand', 'users.find.by-hand'],
]) {
  MessagePattern(pattern)(Users.prototype, method, Object.getOwnPropertyDescriptor(Users.prototype, method));
  Payload()(Users.prototype, method, 0);
}

class AppModule {}
const tcp = { transport: Transport.TCP, options: { host: '127.0.0.1', port } };
Module({ imports: [...imports, ClientsModule.register([{ name: 'USERS', ...tcp }])], controllers: [Users] })(AppModule);
const app = await NestFactory.createMicroservice(AppModule, { ...tcp, logger: ['error', 'warn'] });
await app.listen();
const client = app.get('USERS');
await client.connect();

let handled = 0;
const ask =
  byHand === undefined
    ? id => firstValueFrom(client.send('users.find', id))
    : id => byHand.call('users.find', headers => firstValueFrom(client.send('users.find.by-hand', { id, headers })));

answer({ measure });
tell({});

/** CPU time in µs of a message and its answer, and how many spans one has been exported with so far. */
async function measure({ windowMs }) {
  const before = process.cpuUsage();
  const first = handled;
  const end = performance.now() + windowMs;
  await Promise.all(Array.from({ length: AT_ONCE }, () => askUntil(end)));
  const { user, system } = process.cpuUsage(before);
  return { cpuUs: (user + system) / (handled - first), spans: spansDropped() / handled };
}

async function askUntil(end) {
  while (performance.now() < end) {
    const { id } = await ask(handled);
    if (typeof id !== 'number') throw new Error('not the answer');
    handled++;
  }
}

async function freePort() {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port: free } = server.address();
  await new Promise(resolve => server.close(resolve));
  return free;
}
