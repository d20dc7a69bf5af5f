/** Starts two traced applications over one transport: a microservice, and an application context with its client. */
import { type INestApplicationContext, type INestMicroservice, Inject, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientsModule } from '@nestjs/microservices';
import { type InboundOptions, type OutboundOptions, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { Pair, TestTransport } from './transports.js';

@Injectable()
export class Caller {
  constructor(
    @Inject('CLIENT') readonly client: ClientProxy,
    readonly tracer: Tracer,
  ) {}
}

export interface Setup {
  readonly controllers: Type[];
  readonly providers?: NonNullable<Parameters<typeof Module>[0]['providers']>;
  readonly inbound?: InboundOptions;
  readonly outbound?: OutboundOptions;
  readonly configure?: (server: INestMicroservice) => void;
  /** Changes the settings of server and client. */
  readonly adapt?: (pair: Pair) => Pair;
  /** The side that is not traced. @default both are */
  readonly untraced?: 'server' | 'client';
}

export class Microservices {
  private constructor(
    readonly transport: TestTransport,
    /** The spans of both applications. */
    readonly recorder: TraceRecorder,
    readonly server: INestMicroservice,
    readonly context: INestApplicationContext,
    /** The spans that have started but not ended. */
    readonly open: ReadonlySet<object>,
    readonly pair: Pair,
  ) {}

  static async start(transport: TestTransport, setup: Setup): Promise<Microservices> {
    const prepared = await transport.prepare(patternsOf(setup.controllers));
    const pair = setup.adapt?.(prepared) ?? prepared;
    const recorder = new TraceRecorder();
    const open = new Set<object>();
    const counting = {
      onStart: (span: object) => void open.add(span),
      onEnd: (span: object) => void open.delete(span),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const { inbound, outbound } = setup;
    const tracing = (serviceName: string, enabled: boolean) =>
      TracingModule.forRoot({ serviceName, exporter: recorder, spanProcessors: [counting], enabled, inbound, outbound });

    @Module({ imports: [tracing('server', setup.untraced !== 'server')], controllers: setup.controllers, providers: setup.providers ?? [] })
    class ServerModule {}
    @Module({
      imports: [tracing('client', setup.untraced !== 'client'), ClientsModule.register([{ name: 'CLIENT', ...pair.client }])],
      providers: [Caller],
    })
    class ClientModule {}

    const server = await NestFactory.createMicroservice(ServerModule, { ...pair.server, logger: false });
    setup.configure?.(server);
    await server.listen();
    const application = await NestFactory.createApplicationContext(ClientModule, { logger: false });
    await pair.connect?.(application.get(Caller).client);
    return new Microservices(transport, recorder, server, application, open, pair);
  }

  get caller(): Caller {
    return this.context.get(Caller);
  }

  /** Calls `fn` in a root span "request" and returns its result. */
  inRequest<T>(fn: (client: ClientProxy) => Promise<T>): Promise<T> {
    const { client, tracer } = this.caller;
    return tracer.span('request', () => fn(client));
  }

  /** Returns the name of the span that sends to, or handles, a destination. */
  sending(destination: string): string {
    return `${this.transport.sending}${destination}`;
  }

  handling(destination: string): string {
    return `${this.transport.handling}${destination}`;
  }

  async close(): Promise<void> {
    await this.context.close();
    await this.server.close();
    await this.pair.release?.();
  }
}

/** Returns the text patterns of controllers. */
function patternsOf(controllers: readonly Type[]): string[] {
  const patterns = controllers.flatMap(({ prototype }: { prototype: object }) =>
    Object.values(Object.getOwnPropertyDescriptors(prototype)).flatMap(({ value }: PropertyDescriptor): unknown[] =>
      typeof value === 'function' ? (Reflect.getMetadata('microservices:pattern', value) ?? []) : [],
    ),
  );
  return [...new Set(patterns.filter(pattern => typeof pattern === 'string'))];
}
