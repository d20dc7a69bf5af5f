/** The Order Service: has the orders and their prices, and asks the User Service for the users. */
import { setTimeout } from 'node:timers/promises';
import { HttpModule, HttpService } from '@nestjs/axios';
import { BadGatewayException, Controller, Get, Injectable, Module, NotFoundException, Param, ParseIntPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Span, SpanAttribute, Tracer, TracingModule } from 'nestjs-tracing';
import { firstValueFrom } from 'rxjs';

const ORDERS = new Map([
  [1, { userId: 7, items: ['lamp'] }],
  [2, { userId: 7, items: Array.from({ length: 12 }, (_, index) => `chair ${index + 1}`) }],
  [3, { userId: 13, items: ['desk'] }],
]);

@Injectable()
class PricesService {
  @Span({ attributes: (item: string) => ({ 'order.item': item }) })
  async priceOf(item: string): Promise<number> {
    await setTimeout(15);
    return item.length * 10;
  }
}

@Injectable()
class OrdersService {
  constructor(
    private readonly http: HttpService,
    private readonly prices: PricesService,
    private readonly tracer: Tracer,
  ) {}

  @Span()
  async load(@SpanAttribute('order.id') id: number) {
    const order = ORDERS.get(id);
    if (!order) throw new NotFoundException(`There is no order ${id}`);
    let total = 0;
    // One after the other, as in many real services: the trace shows it.
    for (const item of order.items) total += await this.prices.priceOf(item);
    this.tracer.addEvent('order.priced', { 'order.total': total });
    return { id, total, user: await this.findUser(order.userId) };
  }

  private async findUser(id: number): Promise<unknown> {
    try {
      const { data } = await firstValueFrom(this.http.get<unknown>(`/users/${id}`));
      return data;
    } catch (cause) {
      throw new BadGatewayException(`User ${id} cannot be read`, { cause });
    }
  }
}

@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get(':id')
  find(@Param('id', ParseIntPipe) id: number) {
    return this.orders.load(id);
  }
}

@Module({
  imports: [
    TracingModule.forRoot({ serviceName: 'order-service', methods: process.env.SAMPLE_METHODS === 'true' }),
    HttpModule.register({ baseURL: process.env.USER_SERVICE_URL ?? 'http://127.0.0.1:3002' }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService, PricesService],
})
class OrderServiceModule {}

const app = await NestFactory.create(OrderServiceModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3001, '127.0.0.1');
console.log(`order-service listens on ${await app.getUrl()}`);
