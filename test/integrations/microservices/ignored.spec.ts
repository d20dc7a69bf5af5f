import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { NoSpan, Span } from '../../../lib/index.js';
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

@Controller()
class Quiet {
  @NoSpan()
  @EventPattern('news')
  async heard(@Payload() _data: unknown) {
    await Promise.resolve();
    return this.note();
  }

  @Span() note() {
    return 1;
  }
}

@Controller()
class Loud {
  @EventPattern('news') heard(@Payload() _data: unknown) {
    return this.work();
  }

  @Span() work() {
    return 1;
  }
}

describe('an event one of whose handlers wants no span', () => {
  it.each([
    ['first', [Quiet, Loud]],
    ['last', [Loud, Quiet]],
  ])('is traced in the others where that one is the %s', async (_, controllers) => {
    const services = await Microservices.start(tcp, { controllers });
    try {
      await services.inRequest(client => lastValueFrom(client.emit('news', {}), { defaultValue: undefined }));
      await services.recorder.waitForSpans(4);
      const { spans } = services.recorder;
      expect(spans.map(span => `${services.recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort()).toEqual([
        '- > request',
        'news > Loud.work',
        'news > news',
        'request > news',
      ]);
      expect(services.open.size).toBe(0);
    } finally {
      await services.close();
    }
  });
});
