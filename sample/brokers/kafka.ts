/** Runs Kafka from jars of Maven Central, downloaded once: one node as broker and controller (KRaft), with a small heap. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../runner/program.js';
import { freePort } from '../runner/free-ports.js';
import type { BrokerKind } from './broker.js';
import { jarsOf } from './maven.js';

/** The last version that supports the protocol versions of all current clients. */
const VERSION = '3.9.1';
const jars = jarsOf('kafka', VERSION, [
  { group: 'org.apache.kafka', artifact: 'kafka_2.13', version: VERSION },
  { group: 'org.slf4j', artifact: 'slf4j-simple', version: '1.7.36' },
]);

function settings(folder: string, port: number, controllerPort: number): string {
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'log.dirs': join(folder, 'data'),
    'log.cleaner.enable': false,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    'auto.create.topics.enable': false,
    // Every spec waits for its consumers.
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 500,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** With only the first compiler, it starts in half the time. */
const JAVA = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', jars.classes];
const LOG = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info'];

export const kafka: BrokerKind = {
  name: 'kafka',
  missing: jars.missing,
  async launch(port, folder) {
    const file = join(folder, 'server.properties');
    // After a restart, the files already exist.
    if (!readdirSync(folder).includes('server.properties')) {
      writeFileSync(file, settings(folder, port, await freePort()));
      const args = [...JAVA, ...LOG, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', file];
      const { code, output } = await Program.run({ command: 'java', args }, 60_000);
      if (code !== 0) throw new Error(`Kafka's storage could not be formatted:\n${output}`);
    }
    return Program.start({ command: 'java', args: [...JAVA, ...LOG, 'kafka.Kafka', file] }, /(Kafka Server started)/);
  },
};
