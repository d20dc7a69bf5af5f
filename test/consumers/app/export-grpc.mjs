/** An application that exports over gRPC to a receiver beside it: HTTP/2 without TLS, one message in a frame of five bytes and its length. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:http2';
import { buffer } from 'node:stream/consumers';
import { TracingModule } from 'nestjs-tracing';

const received = [];
const receiver = createServer();
receiver.on('stream', async (stream, headers) => {
  received.push({ path: headers[':path'], type: headers['content-type'], body: await buffer(stream) });
  stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.alloc(5));
});
await once(receiver.listen(0, '127.0.0.1'), 'listening');
process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${receiver.address().port}`;
process.env.OTEL_EXPORTER_OTLP_PROTOCOL = 'grpc';

class AppModule {}
Module({ imports: [TracingModule.forRoot({ serviceName: 'over-grpc', exporter: 'otlp' })] })(AppModule);
const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const [response] = await once(get(`http://127.0.0.1:${app.getHttpServer().address().port}/nowhere`), 'response');
await once(response.resume(), 'end');
await app.close();
receiver.close();

const { path, type, body } = received[0] ?? { body: Buffer.alloc(5) };
if (path !== '/opentelemetry.proto.collector.trace.v1.TraceService/Export') throw new Error(`no span came over gRPC: ${path} ${type}`);
if (body.readUInt32BE(1) !== body.length - 5) throw new Error(`the message is not what its frame says: ${body.length} bytes`);
for (const text of ['over-grpc', 'http.request.method']) if (!body.includes(text)) throw new Error(`"${text}" is not in what was exported`);
console.log(`gRPC export works (${body.length} bytes received)`);
