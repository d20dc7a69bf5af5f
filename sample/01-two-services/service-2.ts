/** Service 2 continues the trace and adds spans for its own work. */
import { setTimeout } from 'node:timers/promises';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Tracer, TracingModule } from 'nestjs-tracing';

@Controller()
class Service2Controller {
  constructor(private readonly tracer: Tracer) {}

  @Get()
  work() {
    return this.tracer.span('service2-custom-work', async () => {
      await setTimeout(100);
      this.tracer.addEvent('Finished work');
      return 'done';
    });
  }
}

@Module({ imports: [TracingModule.forRoot({ serviceName: 'service-2' })], controllers: [Service2Controller] })
class Service2Module {}

const app = await NestFactory.create(Service2Module);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3002, '127.0.0.1');
console.log(`service-2 listens on ${await app.getUrl()}`);
