/** The gateway: a parcel enters here over HTTP and arrives here over a WebSocket. */
import { Controller, Get, Inject, Module, Param, ParseIntPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientsModule } from '@nestjs/microservices';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { TracingModule } from 'nestjs-tracing';
import { firstValueFrom } from 'rxjs';
import { patternOf } from './hops.js';
import { clientsOf } from './transports.js';

@Controller('parcels')
class ParcelsController {
  constructor(@Inject('tcp') private readonly stations: ClientProxy) {}

  /** Returns the hops that the parcel took. */
  @Get(':id')
  send(@Param('id', ParseIntPipe) id: number) {
    return firstValueFrom(this.stations.send<string[]>(patternOf('tcp'), { id }));
  }
}

@WebSocketGateway()
class ArrivalsGateway {
  @SubscribeMessage('parcel.arrived')
  arrived(@MessageBody('id') _id: number) {
    return ['websocket'];
  }
}

@Module({
  imports: [
    // This sample does not show connections and disconnections of sockets in the namespace "/".
    TracingModule.forRoot({ serviceName: 'gateway', inbound: { ignoreMessages: '/' } }),
    ClientsModule.register(clientsOf(['tcp'])),
  ],
  controllers: [ParcelsController],
  providers: [ArrivalsGateway],
})
class GatewayModule {}

const app = await NestFactory.create(GatewayModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3000, '127.0.0.1');
console.log(`gateway listens on ${await app.getUrl()}`);
