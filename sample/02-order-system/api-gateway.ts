/** The API Gateway: the public service. It checks the input and calls the Order Service. */
import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, HttpException, Injectable, Module, Param, ParseIntPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { isAxiosError } from 'axios';
import { TracingModule } from 'nestjs-tracing';
import { firstValueFrom } from 'rxjs';

@Injectable()
class OrdersClient {
  constructor(private readonly http: HttpService) {}

  async find(id: number): Promise<unknown> {
    try {
      const { data } = await firstValueFrom(this.http.get<unknown>(`/orders/${id}`));
      return data;
    } catch (error) {
      // The answer of the Order Service is returned unchanged.
      if (isAxiosError<object>(error) && error.response) throw new HttpException(error.response.data, error.response.status);
      throw error;
    }
  }
}

@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersClient) {}

  @Get(':id')
  find(@Param('id', ParseIntPipe) id: number) {
    return this.orders.find(id);
  }
}

@Module({
  imports: [
    TracingModule.forRoot({ serviceName: 'api-gateway', methods: process.env.SAMPLE_METHODS === 'true' }),
    HttpModule.register({ baseURL: process.env.ORDER_SERVICE_URL ?? 'http://127.0.0.1:3001' }),
  ],
  controllers: [OrdersController],
  providers: [OrdersClient],
})
class ApiGatewayModule {}

const app = await NestFactory.create(ApiGatewayModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3000, '127.0.0.1');
console.log(`api-gateway listens on ${await app.getUrl()}`);
