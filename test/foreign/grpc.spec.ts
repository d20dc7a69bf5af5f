/** A gRPC service in Python in one trace with Nest's gRPC client and server, all of them sending to the viewer. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientGrpc, ClientsModule, Transport } from '@nestjs/microservices';
import { from, lastValueFrom, type Observable, toArray } from 'rxjs';
import { Tracer, TracingModule } from '../../lib/index.js';
import { Books, DeskController, type Desk, deskOf, PROTO } from '../integrations/microservices/desk.js';
import { specsWith } from './found.js';
import { Program } from '../../sample/runner/program.js';
import { RunningViewer, treeOf } from './running-viewer.js';
import { pythonService } from './toolchains.js';
import { freePort } from '../../sample/runner/free-ports.js';

const found = await pythonService('python-grpc');

describe('A gRPC service in Python', () => {
  const specs = specsWith('a gRPC service in Python', found);
  const closing: (() => unknown)[] = [];
  let viewer: RunningViewer;

  beforeAll(async () => {
    viewer = await RunningViewer.start();
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = viewer.url;
  });
  afterAll(async () => {
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    await viewer.stop();
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
    await viewer.clear();
  });

  const kinds: [string, (desk: Desk) => Observable<unknown>, number][] = [
    ['Ask', desk => desk.ask({ what: 'it', number: 1 }), 1],
    ['List', desk => desk.list({ what: 'it', number: 1 }), 4],
    ['Collect', desk => desk.collect(from([{ what: 'it', number: 1 }])), 1],
    ['Talk', desk => desk.talk(from([{ what: 'it', number: 1 }])), 1],
  ];

  specs('stands between a Nest client and a Nest service in one trace, whatever is a stream', async command => {
    const options = { package: 'library', protoPath: PROTO };
    const last = `127.0.0.1:${await freePort()}`;

    @Module({
      imports: [TracingModule.forRoot({ serviceName: 'last', exporter: 'otlp' })],
      controllers: [DeskController],
      providers: [Books],
    })
    class LastModule {}
    const server = await NestFactory.createMicroservice(LastModule, {
      transport: Transport.GRPC,
      options: { ...options, url: last },
      logger: false,
    });
    await server.listen();

    const env = { DOWNSTREAM: last, OTEL_EXPORTER_OTLP_ENDPOINT: viewer.url, OTEL_SERVICE_NAME: 'python-service' };
    const python = await Program.start({ ...command, env }, /listens on (\S+)/);

    @Module({
      imports: [
        TracingModule.forRoot({ serviceName: 'first', exporter: 'otlp' }),
        ClientsModule.register([{ name: 'CLIENT', transport: Transport.GRPC, options: { ...options, url: python.found } }]),
      ],
    })
    class FirstModule {}
    const application = await NestFactory.createApplicationContext(FirstModule, { logger: false });
    const desk = deskOf(application.get<ClientGrpc>('CLIENT'));
    for (const [, call] of kinds) {
      await application.get(Tracer).span('request', () => lastValueFrom(call(desk).pipe(toArray())));
    }
    // What is closed delivers what it has.
    await application.close();
    await server.close();
    await python.stop();

    const traces = await viewer.traces(4 * 5 + 7);
    expect(traces).toHaveLength(4);
    for (const [index, [method, , looks]] of kinds.entries()) {
      expect(treeOf(await viewer.spans(traces[index]!.traceId)).split('\n')).toEqual([
        'first: request',
        `  library.Desk/${method} (client)`,
        `    python-service: /library.Desk/${method} (server)`,
        `      /library.Desk/${method} (client)`,
        `        last: library.Desk/${method} (server)`,
        ...Array<string>(looks).fill('          Books.look'),
      ]);
    }
  });
});
