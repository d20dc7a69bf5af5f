/** An application without axios that exports over OTLP to a receiver beside it: plain JavaScript, the module and nothing else. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { TracingModule } from 'nestjs-tracing';

const received = [];
const receiver = createServer((request, response) => {
  const chunks = [];
  request.on('data', chunk => chunks.push(chunk));
  request.on('end', () => {
    received.push({ url: request.url, type: request.headers['content-type'], body: Buffer.concat(chunks) });
    response.setHeader('content-type', 'application/x-protobuf').end();
  });
});
await once(receiver.listen(0, '127.0.0.1'), 'listening');
process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${receiver.address().port}`;

class AppModule {}
Module({ imports: [TracingModule.forRoot({ serviceName: 'footprint' })] })(AppModule);
const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const [response] = await once(get(`http://127.0.0.1:${app.getHttpServer().address().port}/nowhere`), 'response');
await once(response.resume(), 'end');
await app.close();
receiver.close();

const { url, type, body } = received[0] ?? { body: Buffer.alloc(0) };
if (url !== '/v1/traces' || type !== 'application/x-protobuf') throw new Error(`no OTLP request came: ${url} ${type}`);
for (const text of ['footprint', 'http.request.method']) if (!body.includes(text)) throw new Error(`"${text}" is not in what was exported`);
console.log(`OTLP export works (${body.length} bytes received)`);
