import { Injectable, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { type ClientProxy, ClientProxyFactory, Transport } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { TracedContext } from '../../traced-context.js';

@Injectable()
class Orders implements OnModuleInit, OnApplicationBootstrap {
  client!: ClientProxy;
  announced!: Promise<unknown>;

  onModuleInit() {
    this.client = ClientProxyFactory.create({ transport: Transport.TCP, options: { port: 1 } });
  }

  onApplicationBootstrap() {
    this.announced = lastValueFrom(this.client.emit('started', {})).catch(() => 'lost');
  }
}

describe('a client that a provider makes when its module is initialized', () => {
  it('is traced from the first message on, with a span for each', async () => {
    const traced = await TracedContext.start({ providers: [Orders] });
    try {
      const orders = traced.context.get(Orders);
      expect(await orders.announced).toBe('lost');
      await new Promise(resolve => setImmediate(resolve));
      await traced.inRequest(() => lastValueFrom(orders.client.send('sum', 1)).catch(() => 'lost'));
      await traced.recorder.waitForSpans(3);
      expect(traced.hops()).toEqual(['- > request', '- > started', 'request > sum']);
    } finally {
      await traced.context.close();
    }
    expect(Object.getOwnPropertyNames(traced.context.get(Orders).client)).not.toContain('send');
  });
});
