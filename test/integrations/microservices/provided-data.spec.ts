import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { TracedContext } from '../../traced-context.js';

describe('an application whose providers are data', () => {
  it('starts in no time however much it is, and the clients in its lists are traced', async () => {
    const listed = ClientProxyFactory.create({ transport: Transport.TCP, options: { port: 1 } });
    const words = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`word ${i}`, {}]));
    const startedAt = performance.now();
    const traced = await TracedContext.start({
      providers: [
        { provide: 'PICTURE', useValue: Buffer.alloc(4_000_000) },
        { provide: 'NUMBERS', useValue: Array.from({ length: 400_000 }, (_, i) => i) },
        { provide: 'WORDS', useValue: words },
        { provide: 'CLIENTS', useValue: [listed] },
      ],
    });
    try {
      // Looking at each item would take half a minute.
      expect(performance.now() - startedAt).toBeLessThan(10_000);
      await expect(traced.inRequest(() => lastValueFrom(listed.send('sum', 1)))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await traced.recorder.waitForSpans(2);
      expect(traced.hops()).toEqual(['- > request', 'request > sum']);
    } finally {
      await traced.context.close();
    }
  });
});
