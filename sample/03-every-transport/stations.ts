/** The stations: each receives a parcel over its transport and sends it over the next one. */
import { BullModule, InjectQueue, Processor, WorkerHost } from '@nestjs/bullmq';
import { Controller, Injectable, Module, type OnApplicationBootstrap, type OnModuleDestroy, Optional } from '@nestjs/common';
import { ModuleRef, NestFactory } from '@nestjs/core';
import {
  type ClientGrpc,
  type ClientKafka,
  type ClientProxy,
  ClientsModule,
  GrpcMethod,
  MessagePattern,
  Transport,
} from '@nestjs/microservices';
import { type Job, type Queue, QueueEvents } from 'bullmq';
import { Tracer, TracingModule } from 'nestjs-tracing';
import { firstValueFrom, type Observable } from 'rxjs';
import { io, type Socket } from 'socket.io-client';
import { brokerOf, type Hop, hopsIn, nextAfter, patternOf } from './hops.js';
import { createTopics } from './kafka-topics.js';
import { clientsOf, transportOf } from './transports.js';

const hops = hopsIn(process.env);

interface Parcel {
  readonly id: number;
}

interface Station {
  pass(parcel: Parcel): Observable<{ hops: string[] }>;
}

/** Sends parcels to the next hop and resolves to the remaining hops. */
@Injectable()
class Onward implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly socket: Socket = io(process.env.GATEWAY_URL ?? 'http://127.0.0.1:3000', {
    autoConnect: false,
    transports: ['websocket'],
  });
  private readonly events = hops.includes('bullmq')
    ? new QueueEvents('parcels', { connection: { url: brokerOf('bullmq') ?? '' } })
    : undefined;

  constructor(
    private readonly modules: ModuleRef,
    private readonly tracer: Tracer,
    @Optional() @InjectQueue('parcels') private readonly queue?: Queue<Parcel, string[]>,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await new Promise<void>(resolve => this.socket.once('connect', resolve).connect());
    await this.events?.waitUntilReady();
    if (!hops.includes('kafka')) return;
    const kafka = this.modules.get<ClientKafka>('kafka', { strict: false });
    kafka.subscribeToResponseOf(patternOf('kafka'));
    await kafka.connect();
  }

  async onModuleDestroy(): Promise<void> {
    this.socket.close();
    await this.events?.close();
  }

  async from(hop: Hop, parcel: Parcel): Promise<string[]> {
    return [hop, ...(await this.to(nextAfter(hop), parcel))];
  }

  private async to(hop: Hop, { id }: Parcel): Promise<string[]> {
    switch (hop) {
      case 'websocket': {
        // Nest has no client for this transport, so the headers are added to the message by hand.
        const headers: Record<string, string> = {};
        this.tracer.inject(headers);
        return (await this.socket.emitWithAck('parcel.arrived', { id, _trace: headers })) as string[];
      }
      case 'bullmq': {
        const job = await this.queue?.add('parcel', { id });
        return (await job?.waitUntilFinished(this.events as QueueEvents)) ?? [];
      }
      case 'grpc': {
        const station = this.modules.get<ClientGrpc>(hop, { strict: false }).getService<Station>('Station');
        return (await firstValueFrom(station.pass({ id }))).hops;
      }
      default:
        return firstValueFrom(this.modules.get<ClientProxy>(hop, { strict: false }).send<string[]>(patternOf(hop), { id }));
    }
  }
}

@Controller()
class Stations {
  constructor(private readonly onward: Onward) {}

  @MessagePattern(patternOf('tcp'), Transport.TCP)
  tcp(parcel: Parcel) {
    return this.onward.from('tcp', parcel);
  }

  @GrpcMethod('Station', 'Pass')
  async grpc(parcel: Parcel) {
    return { hops: await this.onward.from('grpc', parcel) };
  }

  @MessagePattern(patternOf('redis'), Transport.REDIS)
  redis(parcel: Parcel) {
    return this.onward.from('redis', parcel);
  }

  @MessagePattern(patternOf('nats'), Transport.NATS)
  nats(parcel: Parcel) {
    return this.onward.from('nats', parcel);
  }

  @MessagePattern(patternOf('rabbitmq'), Transport.RMQ)
  rabbitmq(parcel: Parcel) {
    return this.onward.from('rabbitmq', parcel);
  }

  @MessagePattern(patternOf('kafka'), Transport.KAFKA)
  kafka(parcel: Parcel) {
    return this.onward.from('kafka', parcel);
  }

  @MessagePattern(patternOf('mqtt'), Transport.MQTT)
  mqtt(parcel: Parcel) {
    return this.onward.from('mqtt', parcel);
  }
}

@Processor('parcels')
class ParcelQueue extends WorkerHost {
  constructor(private readonly onward: Onward) {
    super();
  }

  process(job: Job<Parcel>): Promise<string[]> {
    return this.onward.from('bullmq', job.data);
  }
}

const queue = [BullModule.forRoot({ connection: { url: brokerOf('bullmq') ?? '' } }), BullModule.registerQueue({ name: 'parcels' })];

@Module({
  imports: [
    // BullMQ asks Redis for the result of a job by a script.
    TracingModule.forRoot({ serviceName: 'stations', databases: { ignore: ['EVAL'] } }),
    ClientsModule.register(clientsOf(hops)),
    ...(hops.includes('bullmq') ? queue : []),
  ],
  controllers: [Stations],
  providers: [Onward, ...(hops.includes('bullmq') ? [ParcelQueue] : [])],
})
class StationsModule {}

const app = await NestFactory.create(StationsModule);
app.enableShutdownHooks();
for (const hop of hops) {
  const transport = transportOf(hop);
  if (transport !== undefined) app.connectMicroservice(transport);
}
if (hops.includes('kafka')) await createTopics(brokerOf('kafka') ?? '', [patternOf('kafka')]);
await app.startAllMicroservices();
await app.listen(process.env.PORT ?? 3001, '127.0.0.1');
console.log(`stations listens on ${await app.getUrl()}`);
