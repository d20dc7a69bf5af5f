import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { Span } from '../../lib/index.js';
import { Microservices } from './microservices.js';
import { tcp } from './transports.js';

@Controller()
class Handlers {
  @MessagePattern('asked') asked(@Payload() _data: unknown) {
    return this.work();
  }

  @EventPattern('told') told(@Payload() _data: unknown) {
    return this.work();
  }

  @Span() work() {
    return 1;
  }
}

describe('a message that the options ignore', () => {
  it('where it is handled has no span there, whichever part of Nest comes to it first', async () => {
    const services = await Microservices.start(tcp, { controllers: [Handlers], inbound: { ignoreMessages: ['asked', /^told$/] } });
    try {
      await services.inRequest(async client => {
        expect(await firstValueFrom(client.send('asked', {}))).toBe(1);
        await lastValueFrom(client.emit('told', {}), { defaultValue: undefined });
        expect(await firstValueFrom(client.send('asked', {}))).toBe(1);
      });
      await services.recorder.waitForTrace();
      expect(services.recorder.spans.map(({ name }) => name).sort()).toEqual(['asked', 'asked', 'request', 'told']);
    } finally {
      await services.close();
    }
  });
});
