/** A gRPC service and its caller with OpenTelemetry's gRPC instrumentation, which needs Node's own module loader. */
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientGrpc, ClientsModule, GrpcMethod, GrpcStreamCall, GrpcStreamMethod, Transport } from '@nestjs/microservices';
import { SpanKind } from '@opentelemetry/api';
import { GrpcInstrumentation, type GrpcInstrumentationConfig } from '@opentelemetry/instrumentation-grpc';
import { firstValueFrom, from, lastValueFrom, map, type Observable, toArray } from 'rxjs';
import { NoSpan, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

interface Settings {
  readonly instrumentation?: GrpcInstrumentationConfig;
}

interface Note {
  what?: string;
  number?: number;
}

interface Desk {
  ask(question: Note): Observable<Note>;
  list(question: Note): Observable<Note>;
  collect(questions: Observable<Note>): Observable<Note>;
  talk(questions: Observable<Note>): Observable<Note>;
  pass(questions: Observable<Note>): Observable<Note>;
  quiet(question: Note): Observable<Note>;
}

interface DuplexCall {
  on(event: string, listener: (value: Note) => void): void;
  write(value: Note): void;
  end(): void;
}

const { instrumentation } = JSON.parse(process.argv[2] ?? '{}') as Settings;
if (instrumentation !== undefined) new GrpcInstrumentation(instrumentation).enable();
let isBroken = false;
// Nest loads it in the same way.
createRequire(`${process.cwd()}/`)('@grpc/grpc-js');

const work = (what: string): void => application.get(Tracer).span(`work ${what}`, () => undefined);

@Controller()
class DeskController {
  @GrpcMethod('Desk', 'Ask') async ask({ what = '' }: Note) {
    await new Promise(resolve => setImmediate(resolve));
    work('ask');
    if (what === 'breaks') throw new RangeError('out of range');
    return { number: 1 };
  }
  @GrpcMethod('Desk', 'List') list() {
    work('list');
    return from([{ number: 1 }, { number: 2 }]);
  }
  @GrpcStreamMethod('Desk', 'Collect') collect(questions: Observable<Note>) {
    return questions.pipe(
      toArray(),
      map(all => {
        work('collect');
        return { number: all.length };
      }),
    );
  }
  @GrpcStreamMethod('Desk', 'Talk') talk(questions: Observable<Note>) {
    return questions.pipe(
      map(({ number }) => {
        work('talk');
        return { number };
      }),
    );
  }
  @GrpcStreamCall('Desk', 'Pass') pass(call: DuplexCall) {
    if (isBroken) throw new RangeError('out of order');
    call.on('data', ({ number }) => {
      work('pass');
      call.write({ number });
    });
    call.on('end', () => call.end());
  }
  @NoSpan() @GrpcMethod('Desk', 'Quiet') quiet() {
    work('quiet');
    return { number: 3 };
  }
}

const port = await new Promise<number>(resolve => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port: free } = probe.address() as { port: number };
    probe.close(() => resolve(free));
  });
});
const options = { url: `127.0.0.1:${port}`, package: 'library', protoPath: 'test/integrations/microservices/desk.proto' };
const recorder = new TraceRecorder();

@Module({
  imports: [
    TracingModule.forRoot({ exporter: recorder }),
    ClientsModule.register([{ name: 'CLIENT', transport: Transport.GRPC, options }]),
  ],
  controllers: [DeskController],
})
class AppModule {}

const application = await NestFactory.createMicroservice(AppModule, {
  transport: Transport.GRPC,
  options,
  logger: false,
  abortOnError: false,
});
await application.listen();
const desk = application.get<ClientGrpc>('CLIENT').getService<Desk>('Desk');
const questions = () => from([{ number: 7 }]);
const calls: Record<string, () => Promise<unknown>> = {
  ask: () => lastValueFrom(desk.ask({})),
  breaks: () => lastValueFrom(desk.ask({ what: 'breaks' })).catch((error: unknown) => (error as { code: unknown }).code),
  list: () => lastValueFrom(desk.list({}).pipe(toArray())),
  collect: () => lastValueFrom(desk.collect(questions())),
  talk: () => lastValueFrom(desk.talk(questions())),
  pass: () => lastValueFrom(desk.pass(questions())),
  quiet: () => firstValueFrom(desk.quiet({})),
  'goes on': () => firstValueFrom(desk.ask({}).pipe(map(() => work('after')))),
};
const answers: Record<string, unknown> = {};
const trees: Record<string, string> = {};
for (const [name, call] of Object.entries(calls)) {
  recorder.clear();
  answers[name] = await application.get(Tracer).span('request', call);
  await recorder.waitForTrace();
  trees[name] = recorder.spans
    .map(span => {
      const parent = recorder.parentOf(span);
      const scope = span.instrumentationScope.name
        .replace('@opentelemetry/instrumentation-grpc', 'theirs')
        .replace('nestjs-tracing', 'ours');
      return `${parent?.name ?? 'none'} > ${span.name} (${scope})`;
    })
    .sort()
    .join(', ');
}

// Nest does not handle the error of such a handler and does not answer the call.
const unhandled: unknown[] = [];
const refused = new Promise<void>(resolve => {
  process.on('unhandledRejection', reason => {
    unhandled.push((reason as { message: unknown }).message);
    resolve();
  });
});
isBroken = true;
recorder.clear();
const left = desk.pass(questions()).subscribe({ error: () => undefined });
const broken = instrumentation === undefined ? (await recorder.waitForSpan(({ kind }) => kind === SpanKind.SERVER)).status : undefined;
await refused;
left.unsubscribe();
await application.close();
process.stdout.write(JSON.stringify({ answers, trees, unhandled, broken }));
