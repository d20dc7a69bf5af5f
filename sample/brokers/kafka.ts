/** Kafka out of Maven Central's jars, fetched once: one node that is broker and controller (KRaft), with a small heap. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Program, reasonIn } from '../runner/program.js';
import { freePort } from '../runner/free-ports.js';
import { type BrokerKind, reasonWithout } from './broker.js';

/** The last line that speaks the protocol versions of every client of today. */
const VERSION = '3.9.1';
const FETCH_TIMEOUT_MS = 300_000;
/** Below the repository's node_modules, where no tool of the repository looks. */
const jars = join(process.cwd(), `node_modules/.cache/nestjs-tracing-brokers/kafka-${VERSION}`);
const classes = join(jars, '*');

/** Whether others may put the jars there at the same time does not matter: the first one wins. */
function fetchJars(): string | undefined {
  if (existsSync(jars)) return undefined;
  process.stderr.write(`Kafka ${VERSION} is fetched from Maven Central, once.\n`);
  mkdirSync(dirname(jars), { recursive: true });
  const folder = mkdtempSync(`${jars}.part-`);
  try {
    writeFileSync(join(folder, 'pom.xml'), project());
    const args = ['-q', '-B', '-f', folder, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}/jars`];
    const { status, stdout, stderr } = spawnSync('mvn', args, { encoding: 'utf8', timeout: FETCH_TIMEOUT_MS });
    if (status !== 0) return `the jars of Kafka cannot be fetched: ${reasonIn(stdout + stderr)}; MAVEN_REPOSITORY_URL names another source`;
    if (!existsSync(jars)) renameSync(join(folder, 'jars'), jars);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function project(): string {
  const dependency = (group: string, artifact: string, version: string) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  const url = process.env['MAVEN_REPOSITORY_URL'];
  const repository = url === undefined ? '' : `<repositories><repository><id>central</id><url>${url}</url></repository></repositories>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
    <groupId>nestjs-tracing</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>${repository}
    <dependencies>${dependency('org.apache.kafka', 'kafka_2.13', VERSION)}${dependency('org.slf4j', 'slf4j-simple', '1.7.36')}</dependencies>
  </project>`;
}

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
    // Consumers are waited for in every spec.
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 500,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** The first compiler alone: it starts in half the time. */
const JAVA = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', classes];
const LOG = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info'];

export const kafka: BrokerKind = {
  name: 'kafka',
  missing: () => reasonWithout('java') ?? reasonWithout('mvn') ?? fetchJars(),
  async launch(port, folder) {
    const file = join(folder, 'server.properties');
    // A restart finds what it needs.
    if (!readdirSync(folder).includes('server.properties')) {
      writeFileSync(file, settings(folder, port, await freePort()));
      const args = [...JAVA, ...LOG, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', file];
      const { code, output } = await Program.run({ command: 'java', args }, 60_000);
      if (code !== 0) throw new Error(`Kafka's storage could not be formatted:\n${output}`);
    }
    return Program.start({ command: 'java', args: [...JAVA, ...LOG, 'kafka.Kafka', file] }, /(Kafka Server started)/);
  },
};
