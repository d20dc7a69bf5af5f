/** Service 1 calls Service 2. The call carries the trace context. */
import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TracingModule } from 'nestjs-tracing';
import { firstValueFrom } from 'rxjs';

@Controller()
class Service1Controller {
  constructor(private readonly http: HttpService) {}

  @Get()
  async greet() {
    const answer = await firstValueFrom(this.http.get<string>(process.env.SERVICE_2_URL ?? 'http://127.0.0.1:3002'));
    return `Service 2 says: ${answer.data}`;
  }
}

@Module({ imports: [TracingModule.forRoot({ serviceName: 'service-1' }), HttpModule], controllers: [Service1Controller] })
class Service1Module {}

const app = await NestFactory.create(Service1Module);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3001, '127.0.0.1');
console.log(`service-1 listens on ${await app.getUrl()}`);
