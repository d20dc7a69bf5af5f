/** Clients whose promises are of a class of their own, as those of wrappers may be. */
import { setImmediate as turn } from 'node:timers/promises';
import { installOnClient } from '../../../lib/integrations/sqs/client.js';
import { applicationOfSpec } from '../../spans/application-of-spec.js';

const app = applicationOfSpec();

class Sending<T> extends Promise<T> {}

const clientThat = <T>(send: () => Promise<T>) => {
  const client = { config: { serviceId: 'SQS' }, destroy: () => undefined, send: (_command: object) => send() };
  installOnClient(client);
  return client;
};
const command = { input: { QueueUrl: 'http://127.0.0.1/1/orders', MessageBody: 'x' } };
const spans = () => app.spans.map(({ name, status, attributes }) => [name, status.message, attributes['messaging.message.id']]);

describe('a promise of a class of its own', () => {
  it('has the span end when it settles, though nobody waits for it', async () => {
    const client = clientThat(() => Sending.resolve({ MessageId: 'm1' }));
    const sent = client.send(command);
    expect(sent).toBeInstanceOf(Sending);
    await turn();
    expect(spans()).toEqual([['send orders', undefined, 'm1']]);
  });

  it('passes what it brings, or why it fails', async () => {
    const kept = clientThat(() => Sending.resolve({ MessageId: 'm1' }));
    const broken = clientThat(() => Sending.reject(new RangeError('broken')));
    await expect(kept.send(command)).resolves.toEqual({ MessageId: 'm1' });
    await expect(broken.send(command)).rejects.toThrow('broken');
    expect(spans()).toEqual([
      ['send orders', undefined, 'm1'],
      ['send orders', 'broken', undefined],
    ]);
  });
});
