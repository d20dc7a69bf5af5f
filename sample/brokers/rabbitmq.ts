/** Runs RabbitMQ from Debian's package: a node and its own port mapper, with all files in the folder of the broker. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../runner/program.js';
import { freePort } from '../runner/free-ports.js';
import { type BrokerKind, PATH, reasonWithout } from './broker.js';

/** Debian's command `rabbitmq-server` changes to another user, who may not write here. */
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export const rabbitmq: BrokerKind = {
  name: 'rabbitmq',
  missing: () => (existsSync(SERVER) ? reasonWithout('epmd') : `"${SERVER}" is not on this machine`),
  async launch(port, folder) {
    const mapperPort = await freePort();
    const mapper = await startMapper(mapperPort, folder);
    try {
      return bothOf(await startNode(port, mapperPort, folder), mapper);
    } catch (error) {
      await mapper.stop('SIGKILL');
      throw error;
    }
  },
};

/** Otherwise Erlang would start a port mapper on its default port and leave it running. */
function startMapper(port: number, folder: string): Promise<Program> {
  const args = ['-d', '-address', '127.0.0.1', '-port', String(port)];
  return Program.start({ command: 'epmd', args, cwd: folder, env: { PATH } }, /(epmd running)/);
}

async function startNode(port: number, mapperPort: number, folder: string): Promise<Program> {
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('config'), { recursive: true });
  writeFileSync(at('rabbitmq-env.conf'), '');
  writeFileSync(at('rabbitmq.conf'), 'log.console = true\nlog.console.level = info\nloopback_users = none\n');
  writeFileSync(at('enabled_plugins'), '[].\n');
  const env = {
    PATH,
    HOME: folder,
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `rabbit-${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_CONF_ENV_FILE: at('rabbitmq-env.conf'),
    RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: at('advanced.config'),
    RABBITMQ_GENERATED_CONFIG_DIR: at('config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: at('enabled_plugins'),
    RABBITMQ_MNESIA_BASE: at('mnesia'),
    RABBITMQ_MNESIA_DIR: at('mnesia/node'),
    RABBITMQ_PLUGINS_EXPAND_DIR: at('plugins'),
    RABBITMQ_FEATURE_FLAGS_FILE: at('feature_flags'),
    RABBITMQ_PID_FILE: at('pid'),
    RABBITMQ_LOG_BASE: at('log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    // As under systemd, the script replaces itself by the Erlang process, so that its process id can be ended.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
  return Program.start({ command: SERVER, cwd: folder, env }, /(Server startup complete)/);
}

/** Stops the node and then its port mapper. */
function bothOf(node: Program, mapper: Program): Pick<Program, 'stop'> {
  return {
    async stop(signal) {
      await node.stop(signal);
      await mapper.stop('SIGKILL');
    },
  };
}
