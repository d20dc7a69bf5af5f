/** What several applications trace is traced once, and put back when the last of them closes. */
import { jest } from '@jest/globals';
import { type Method, replaceMethod } from '../../lib/wrapping/replace-method.js';
import { installForGood, Installations, installOnce, replaceOnPrototype, share } from '../../lib/wrapping/shared-installation.js';

const KEY = Symbol.for('nestjs-tracing/a-spec');

const louder = (send: Method): Method =>
  function (...args) {
    return `traced ${String(send.apply(this, args))}`;
  };

class Client {
  send(): string {
    return 'sent';
  }
}

const trace = (client: object) => installOnce(client, KEY, () => replaceMethod(client, 'send', louder));

describe('a client that several applications have', () => {
  it('is wrapped once, until the last of them leaves', () => {
    const client = new Client();
    const [first, second] = [trace(client), trace(client)];
    expect(client.send()).toBe('traced sent');
    first();
    expect(client.send()).toBe('traced sent');
    second();
    expect(client.send()).toBe('sent');
    expect(Reflect.ownKeys(client)).toEqual([]);
  });

  it('stays wrapped where one of them leaves twice', () => {
    const client = new Client();
    const [first] = [trace(client), trace(client)];
    first();
    first();
    expect(client.send()).toBe('traced sent');
  });

  it('is wrapped again after all have left', () => {
    const client = new Client();
    trace(client)();
    const undo = trace(client);
    expect(client.send()).toBe('traced sent');
    undo();
    expect(client.send()).toBe('sent');
  });

  it('is wrapped once where they have different copies of this library', async () => {
    const client = new Client();
    const first = trace(client);
    let copy: typeof import('../../lib/wrapping/shared-installation.js') | undefined;
    await jest.isolateModulesAsync(async () => {
      copy = await import('../../lib/wrapping/shared-installation.js');
    });
    expect(copy?.installOnce).not.toBe(installOnce);
    const second = copy?.installOnce(client, KEY, () => replaceMethod(client, 'send', louder));
    expect(client.send()).toBe('traced sent');
    first();
    expect(client.send()).toBe('traced sent');
    second?.();
    expect(client.send()).toBe('sent');
  });

  it('tells each of them what is known of it', () => {
    const client = {};
    const install = () => ({ application: 'the first', undo: () => undefined });
    const first = share(client, KEY, install);
    expect(share(client, KEY, install).installation).toBe(first.installation);
  });

  it('is wrapped anew where wrapping it failed', () => {
    const client = new Client();
    const fail = () => {
      throw new Error('not now');
    };
    expect(() => installOnce(client, KEY, fail)).toThrow('not now');
    const undo = trace(client);
    expect(client.send()).toBe('traced sent');
    undo();
    expect(Reflect.ownKeys(client)).toEqual([]);
  });

  it('is not taken for a client that inherits from it', () => {
    class Special extends Client {}
    const [base, special] = [trace(Client.prototype), trace(Special.prototype)];
    expect(new Special().send()).toBe('traced traced sent');
    special();
    base();
    expect(new Special().send()).toBe('sent');
  });

  it('stays wrapped where its user has named it', () => {
    const client = new Client();
    installForGood(client, trace);
    installForGood(client, trace);
    trace(client)();
    expect(client.send()).toBe('traced sent');
  });
});

describe('a method of a class that several applications have', () => {
  const traceClass = (classRef: Function) => replaceOnPrototype(classRef, ['send', 'missing'], louder);

  it('is wrapped once, until the last of them leaves', () => {
    class Controller extends Client {}
    const [first, second] = [traceClass(Controller), traceClass(Controller)];
    expect(new Controller().send()).toBe('traced sent');
    first();
    expect(new Controller().send()).toBe('traced sent');
    second();
    expect(Reflect.ownKeys(Controller.prototype)).toEqual(['constructor']);
  });

  it('is wrapped anew where somebody has put back meanwhile what stood there', () => {
    class Controller {
      send(): string {
        return 'sent';
      }
    }
    const { send } = Controller.prototype;
    const first = traceClass(Controller);
    Controller.prototype.send = send;
    const second = traceClass(Controller);
    expect(new Controller().send()).toBe('traced sent');
    first();
    expect(new Controller().send()).toBe('traced sent');
    second();
    expect(Controller.prototype.send).toBe(send);
  });

  it('is wrapped in its own right in a class that was given it by another one', () => {
    class Giver extends Client {}
    class Taker {}
    const giver = traceClass(Giver);
    Object.defineProperty(Taker.prototype, 'send', Object.getOwnPropertyDescriptor(Giver.prototype, 'send') ?? {});
    const taker = traceClass(Taker);
    giver();
    expect((new Taker() as Client).send()).toBe('traced traced sent');
    taker();
  });
});

describe('many instances that come and go', () => {
  it('are each wrapped once, and all put back', () => {
    const clients = [new Client(), new Client()];
    const installations = new Installations();
    for (const client of [...clients, ...clients]) installations.add(client, () => replaceMethod(client, 'send', louder));
    expect(clients.map(client => client.send())).toEqual(['traced sent', 'traced sent']);
    installations.undo();
    expect(clients.map(client => client.send())).toEqual(['sent', 'sent']);
  });
});
