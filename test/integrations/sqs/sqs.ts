/** Starts an application that sends and receives over SQS, with ElasticMQ as the server. */
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { Broker } from '../../../sample/brokers/broker.js';
import { elasticmq } from '../../../sample/brokers/elasticmq.js';
import { describeWith, QueueApplication, type QueueSetup } from '../queue-application.js';

export const describeWithSqs = describeWith(elasticmq, 'SQS');

/** Returns a client outside of the application. */
export function clientOf({ port }: Broker): SQSClient {
  const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };
  return new SQSClient({ endpoint: `http://127.0.0.1:${port}`, region: 'elasticmq', credentials, maxAttempts: 1 });
}

export async function createQueue(broker: Broker, name: string): Promise<string> {
  const client = clientOf(broker);
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name }));
  client.destroy();
  return QueueUrl!;
}

export class SqsApplication extends QueueApplication {
  static async start(setup: QueueSetup, recorder = new TraceRecorder()): Promise<SqsApplication> {
    return new SqsApplication(recorder, await this.create([], setup, recorder));
  }
}
