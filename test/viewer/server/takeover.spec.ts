/** Services find one another: the first hosts the viewer, the others send to it, and when it stops one of them goes on. Real processes. */
import { createServer, type Server } from 'node:http';
import { hostOf, Service, shown, until } from './services.js';
import { call, Live } from './viewers.js';
import { freePort } from '../../../sample/runner/free-ports.js';

const optionsFor = (port: number, serviceName: string) => ({ options: { serviceName, viewer: { port } } });

/** The service that comes first, once it hosts. */
async function startHost(port: number): Promise<Service> {
  const first = await Service.start(optionsFor(port, 'first'));
  await until(
    () => hostOf(port),
    pid => pid === first.child.pid,
  );
  return first;
}

describe('Services with the viewer on', () => {
  it('meet in the one that came first, where a finished span shows within 250 ms', async () => {
    const port = await freePort();
    const first = await startHost(port);
    const second = await Service.start(optionsFor(port, 'second'));
    await until(
      () => second.output,
      output => output.includes(`Traces are shown at http://127.0.0.1:${port}.`),
    );
    expect(first.output).toContain(`Traces are shown at http://127.0.0.1:${port}, by this process.`);
    const live = await Live.open(`http://127.0.0.1:${port}/api/live`);
    await live.next('traces');
    for (const service of [first, second]) {
      service.span('warm up');
      await live.next('changed', live.events.length);
    }
    for (const service of [first, second]) {
      const before = live.events.length;
      const began = performance.now();
      service.span('work');
      const { traces } = await live.next('changed', before);
      expect(performance.now() - began).toBeLessThan(250);
      expect(traces).toMatchObject([{ name: 'work', service: service === first ? 'first' : 'second' }]);
    }
    live.close();
  });

  it('go on with another one of them when the host stops or dies, and lose no span of the time between', async () => {
    const port = await freePort();
    const services: Service[] = [];
    for (const name of ['a', 'b', 'c']) {
      services.push(await Service.start(optionsFor(port, name)));
      await until(
        () => hostOf(port),
        pid => pid === services[0]!.child.pid,
      );
    }
    const [a, b, c] = services as [Service, Service, Service];
    await until(
      () => b.output + c.output,
      output => output.split('shown at').length === 3,
    );
    // The first dies, the second stops as it should.
    a.child.kill('SIGKILL');
    await a.exit();
    b.span('b between');
    c.span('c between');
    const names = await until(
      () => shown(port),
      list => list.length === 2,
    );
    expect(names).toEqual(['b between', 'c between']);
    const host = (await hostOf(port)) === b.child.pid ? b : c;
    const other = host === b ? c : b;
    await host.stop();
    other.span('after');
    expect(
      await until(
        () => shown(port),
        list => list.length > 0,
      ),
    ).toEqual(['after']);
    expect(await hostOf(port)).toBe(other.child.pid);
  });

  it('take over also while they have nothing to send', async () => {
    const port = await freePort();
    const first = await startHost(port);
    const second = await Service.start(optionsFor(port, 'second'));
    await until(
      () => second.output,
      output => output.includes('shown at'),
    );
    first.child.kill('SIGKILL');
    await until(
      () => hostOf(port),
      pid => pid === second.child.pid,
    );
  });

  it('deliver what has just ended when they stop', async () => {
    const port = await freePort();
    await startHost(port);
    const second = await Service.start(optionsFor(port, 'second'));
    second.span('last words');
    await second.stop();
    expect(await shown(port)).toEqual(['last words']);
  });

  it('are not kept alive by it, neither as host with a page open nor as guest', async () => {
    const port = await freePort();
    const host = await Service.run({ ...optionsFor(port, 'host'), span: 'x' });
    expect(await host.exit()).toBe(0);
    const lasting = await Service.start(optionsFor(port, 'lasting'));
    await until(
      () => hostOf(port),
      pid => pid === lasting.child.pid,
    );
    const guest = await Service.run({ ...optionsFor(port, 'guest'), span: 'x' });
    expect(await guest.exit()).toBe(0);
    const live = await Live.open(`http://127.0.0.1:${port}/api/live`);
    await live.next('traces');
    lasting.child.disconnect();
    expect(await lasting.exit()).toBe(0);
  });

  it('leave the port to a program that is no viewer, say so once, and go on', async () => {
    const foreign: Server = createServer((_request, response) => response.end('hello')).unref();
    await new Promise<void>(resolve => void foreign.listen(0, '127.0.0.1', resolve));
    const { port } = foreign.address() as { port: number };
    const service = await Service.start(optionsFor(port, 'service'));
    service.span('x');
    await until(
      () => service.output,
      output => output.includes('belongs to another program'),
    );
    expect(service.output).toContain('viewer: { port }');
    service.span('y');
    expect(await service.stop()).toEqual(['x', 'y']);
    expect(service.output.split('belongs to another program')).toHaveLength(2);
    foreign.closeAllConnections();
    foreign.close();
  });

  it('have none in production unless it is asked for by name', async () => {
    const port = await freePort();
    const off = await Service.start(optionsFor(port, 'off'), { NODE_ENV: 'production' });
    const on = await Service.start({ options: { viewer: { port, inProduction: true } } }, { NODE_ENV: 'production' });
    await until(
      () => hostOf(port),
      pid => pid === on.child.pid,
    );
    off.span('unseen');
    on.span('seen');
    await off.stop();
    expect(
      await until(
        () => shown(port),
        list => list.length > 0,
      ),
    ).toEqual(['seen']);
    expect(off.output).toContain('inProduction: true');
    expect(off.output.split('\n').filter(line => line.includes('viewer'))).toHaveLength(1);
  });

  it("have no spans of the viewer's own traffic, whoever instruments node:http", async () => {
    const port = await freePort();
    const host = await Service.start({ ...optionsFor(port, 'host'), instrumented: true });
    await until(
      () => hostOf(port),
      pid => pid === host.child.pid,
    );
    const guest = await Service.start({ ...optionsFor(port, 'guest'), instrumented: true });
    guest.span('work');
    await until(
      () => shown(port),
      list => list.includes('work'),
    );
    expect((await call(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(await guest.stop()).toEqual(['work']);
    expect(await host.stop()).toEqual([]);
  });
});
