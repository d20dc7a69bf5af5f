import { Cluster, Redis } from 'ioredis';
import { Cluster as OlderCluster, Redis as OlderRedis } from 'ioredis-5.4';
import { createCluster, createSentinel } from 'redis';
import { createCluster as createOlderCluster, createSentinel as createOlderSentinel } from 'redis-5.10';
import { traceDatabase } from '../../../lib/index.js';
import { DatabaseApplication, namesOf } from './database-application.js';
import { GROUP, redisCluster, redisSentinel } from './redis-topologies.js';
import { describeWith, serverOf } from './servers.js';

const HOST = '127.0.0.1';

/** A client as the specs use it. */
interface Client {
  readonly provided: object;
  readonly set: (key: string, value: string) => Promise<unknown>;
  readonly get: (key: string) => Promise<unknown>;
  /** Gets two keys of one slot in a transaction. */
  readonly multi: (key: string) => Promise<unknown>;
  /** Fails with WRONGTYPE. */
  readonly fail: (key: string) => Promise<unknown>;
  readonly close: () => unknown;
}

type Open = (port: number) => Client | Promise<Client>;

function ofIoredis(client: Cluster | Redis): Client {
  client.on('error', () => undefined);
  return {
    provided: { client },
    set: (key, value) => client.set(key, value),
    get: key => client.get(key),
    multi: key => client.multi().get(`{${key}}a`).get(`{${key}}b`).exec(),
    fail: key => client.hget(key, 'field'),
    close: () => client.disconnect(),
  };
}

const CLUSTERS: Record<string, Open> = {
  'ioredis 6.0': port => ofIoredis(new Cluster([{ host: HOST, port }])),
  'ioredis 5.4': port => ofIoredis(new OlderCluster([{ host: HOST, port }]) as unknown as Cluster),
  'redis 6.3': async port => {
    const client = await createCluster({ rootNodes: [{ socket: { host: HOST, port } }] }).connect();
    return {
      provided: { client },
      set: (key, value) => client.set(key, value),
      get: key => client.get(key),
      multi: key => client.multi().get(`{${key}}a`).get(`{${key}}b`).exec(),
      fail: key => client.hGet(key, 'field'),
      close: () => client.destroy(),
    };
  },
};

const SENTINELS: Record<string, Open> = {
  'ioredis 6.0': port => ofIoredis(new Redis({ sentinels: [{ host: HOST, port }], name: GROUP })),
  'ioredis 5.4': port => ofIoredis(new OlderRedis({ sentinels: [{ host: HOST, port }], name: GROUP }) as unknown as Redis),
  'redis 6.3': async port => {
    const client = await createSentinel({ name: GROUP, sentinelRootNodes: [{ host: HOST, port }] }).connect();
    return {
      provided: { client },
      set: (key, value) => client.set(key, value),
      get: key => client.get(key),
      multi: key => client.multi().get(`{${key}}a`).get(`{${key}}b`).exec(),
      fail: key => client.hGet(key, 'field'),
      close: () => client.destroy(),
    };
  },
};

describe.each([
  ['cluster', redisCluster, CLUSTERS],
  ['sentinel', redisSentinel, SENTINELS],
] as const)('a command to a Redis %s', (what, kind, clients) => {
  describeWith(kind, `Redis ${what}`).each(Object.entries(clients))('through %s', (_library, open) => {
    let port: number;
    let client: Client;
    let application: DatabaseApplication;

    beforeAll(async () => {
      ({ port } = await serverOf(kind));
    }, 120_000);
    beforeEach(async () => {
      client = await open(port);
      application = await DatabaseApplication.start({ ...client.provided });
    });
    afterEach(async () => {
      await application.close();
      await client.close();
    });

    it('is one span in its request, and names the server that answered', async () => {
      const requests = await application.concurrently(100, async index => {
        await client.set(`user:${index}`, `value ${index}`);
        expect(await client.get(`user:${index}`)).toBe(`value ${index}`);
        await client.multi(`user:${index}`);
      });
      const batch = expect.stringMatching(/^MULTI( GET)?$/) as string;
      for (const spans of requests) {
        expect(namesOf(spans)).toEqual(['SET', 'GET', batch]);
        expect(spans.map(span => application.parentOf(span)?.name)).toEqual(spans.map(() => expect.stringMatching(/^request /)));
      }
      const ports = new Set(requests.flat().map(({ attributes }) => attributes['server.port']));
      expect(ports.size).toBe(what === 'cluster' ? 3 : 1);
      expect([...ports].filter(one => typeof one !== 'number')).toEqual([]);
    });

    it('fails with the code of Redis', async () => {
      await application.during(() => client.set('text', 'value'));
      await expect(application.during(() => client.fail('text'))).rejects.toThrow('WRONGTYPE');
      expect(application.recorder.spans.find(({ name }) => name.startsWith('HGET'))?.attributes['error.type']).toBe('WRONGTYPE');
    });

    it('has no span any more after the application is closed', async () => {
      await client.get('a');
      await application.close();
      application.recorder.clear();
      await client.get('a');
      expect(application.recorder.spans).toEqual([]);
    });

    it('through a client that is no provider has a span after traceDatabase()', async () => {
      const other = await open(port);
      for (const value of Object.values(other.provided)) expect(traceDatabase(value as object)).toBe(value);
      expect(namesOf(await application.during(() => other.get('a')))).toEqual(['GET']);
      await other.close();
    });
  });
});

describeWith(redisSentinel, 'Redis sentinel and cluster with redis 5.10')('a command through redis 5.10', () => {
  it('to a cluster or sentinel works, and has no span', async () => {
    const [cluster, sentinel] = await Promise.all([serverOf(redisCluster), serverOf(redisSentinel)]);
    const clients = {
      cluster: await createOlderCluster({ rootNodes: [{ socket: { host: HOST, port: cluster.port } }] }).connect(),
      sentinel: await createOlderSentinel({ name: GROUP, sentinelRootNodes: [{ host: HOST, port: sentinel.port }] }).connect(),
    };
    const application = await DatabaseApplication.start(clients);
    for (const client of Object.values(clients)) {
      const spans = await application.during(async () => {
        await client.set('a', '1');
        expect(await client.multi().get('a').exec()).toEqual(['1']);
      });
      expect(spans).toEqual([]);
    }
    await application.close();
    clients.cluster.destroy();
    await clients.sentinel.close();
  }, 120_000);
});
