/** Runs Redis as a cluster of three servers, and as a server with a replica that three sentinels watch over. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrokerKind, PATH } from '../../../sample/brokers/broker.js';
import { freePort } from '../../../sample/runner/free-ports.js';
import { Program } from '../../../sample/runner/program.js';
import { redis } from './servers.js';

type Running = Pick<Program, 'stop'>;

/** The names of the sentinels' group, and of its servers' ports, by the port that a broker has. */
export const GROUP = 'group';

/** The broker's port is that of the first server. The others announce themselves. */
export const redisCluster: BrokerKind = {
  name: 'redis-cluster',
  missing: () => redis.missing(),
  async launch(port, folder) {
    const ports = [port, await freePort(), await freePort()];
    const servers = await Promise.all(
      ports.map(async one => {
        const bus = await freePort();
        return server(folder, one, [
          '--cluster-enabled',
          'yes',
          '--cluster-port',
          String(bus),
          '--cluster-config-file',
          `nodes-${one}.conf`,
        ]);
      }),
    );
    const addresses = ports.map(one => `127.0.0.1:${one}`);
    await cli(['--cluster', 'create', ...addresses, '--cluster-yes'], output => output.includes('All 16384 slots covered'));
    for (const one of ports) await cli(['-p', String(one), 'cluster', 'info'], output => output.includes('cluster_state:ok'));
    return all(servers);
  },
};

/** The broker's port is that of one sentinel, which knows the others. */
export const redisSentinel: BrokerKind = {
  name: 'redis-sentinel',
  missing: () => redis.missing(),
  async launch(port, folder) {
    const [main, replica] = [await freePort(), await freePort()];
    const servers = [await server(folder, main), await server(folder, replica, ['--replicaof', `127.0.0.1 ${main}`])];
    const file = join(folder, 'sentinel.conf');
    writeFileSync(file, `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor ${GROUP} 127.0.0.1 ${main} 1\n`);
    const sentinel = await Program.start({ command: 'redis-server', args: [file, '--sentinel'], env: { PATH } }, /(\+monitor master)/);
    await cli(['-p', String(port), 'sentinel', 'replicas', GROUP], output => output.includes(`127.0.0.1:${replica}`));
    return all([...servers, sentinel]);
  },
};

function server(folder: string, port: number, more: readonly string[] = []): Promise<Running> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...more];
  return Program.start({ command: 'redis-server', args, env: { PATH } }, /(Ready to accept connections)/);
}

/** Asks until the answer is the wanted one. */
async function cli(args: readonly string[], isWanted: (output: string) => boolean): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const { output } = await Program.run({ command: 'redis-cli', args, env: { PATH } }, 60_000);
    if (isWanted(output)) return;
    if (attempt === 100) throw new Error(`redis-cli ${args.join(' ')} says:\n${output}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

function all(programs: readonly Running[]): Running {
  return { stop: signal => Promise.all(programs.map(program => program.stop(signal))).then(() => undefined) };
}
