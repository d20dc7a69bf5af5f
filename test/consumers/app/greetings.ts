/** The small application that every consumer runs: a controller, a service with a span of its own, and a call over HTTP to itself. */
import { HttpModule, HttpService } from '@nestjs/axios';
import { type CanActivate, Controller, Get, type INestApplication, Injectable, Module, Param, UseGuards } from '@nestjs/common';
import { Span, SpanAttribute, Tracer, TracingModule } from 'nestjs-tracing';
import { TraceRecorder } from 'nestjs-tracing/testing';
import { firstValueFrom } from 'rxjs';

export const recorder = new TraceRecorder();

@Injectable()
export class GreetingService {
  port = 0;

  constructor(
    private readonly http: HttpService,
    private readonly tracer: Tracer,
  ) {}

  @Span()
  async greet(@SpanAttribute('greeting.name') name: string): Promise<string> {
    this.tracer.addEvent('greeting.started', { 'greeting.length': name.length });
    const answer = await firstValueFrom(this.http.get<string>(`http://127.0.0.1:${this.port}/name/${name}`));
    return `Hello ${answer.data}`;
  }
}

@Injectable()
export class OpenGuard implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Controller()
@UseGuards(OpenGuard)
export class GreetingController {
  constructor(private readonly greetings: GreetingService) {}

  @Get('greet/:name')
  greet(@Param('name') name: string): Promise<string> {
    return this.greetings.greet(name);
  }

  @Get('name/:name')
  name(@Param('name') name: string): string {
    return name.toUpperCase();
  }
}

@Module({
  imports: [TracingModule.forRoot({ serviceName: 'greetings', exporter: recorder }), HttpModule],
  controllers: [GreetingController],
  providers: [GreetingService],
  exports: [GreetingService],
})
export class AppModule {}

/** Listens on a free port of the loopback and tells the service, which calls itself there. */
export async function listen(app: INestApplication): Promise<number> {
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): { port: number } }).address();
  app.get(GreetingService).port = port;
  return port;
}
