/** Runs ElasticMQ, a server for the SQS protocol, from jars of Maven Central. It keeps its queues in memory. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../runner/program.js';
import type { BrokerKind } from './broker.js';
import { jarsOf } from './maven.js';

const VERSION = '1.6.12';
const jars = jarsOf('elasticmq', VERSION, [
  // Its own test classes are among its dependencies.
  { group: 'org.elasticmq', artifact: 'elasticmq-server_2.13', version: VERSION, without: 'elasticmq-common-test_2.13' },
]);

function settings(port: number): string {
  return `include classpath("application.conf")
    node-address { protocol = http, host = "127.0.0.1", port = ${port}, context-path = "" }
    rest-sqs { enabled = true, bind-hostname = "127.0.0.1", bind-port = ${port}, sqs-limits = strict }
    rest-stats { enabled = false }`;
}

/** With only the first compiler, it starts in half the time. */
const JAVA = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', jars.classes];

export const elasticmq: BrokerKind = {
  name: 'elasticmq',
  missing: jars.missing,
  launch(port, folder) {
    const file = join(folder, 'elasticmq.conf');
    writeFileSync(file, settings(port));
    return Program.start(
      { command: 'java', args: [...JAVA, `-Dconfig.file=${file}`, 'org.elasticmq.server.Main'] },
      /(ElasticMQ server .* started)/,
    );
  },
};
