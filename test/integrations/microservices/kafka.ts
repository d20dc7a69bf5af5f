/** Kafka for the specs of this folder: a broker, topics created in advance, and settings with which consumers read all messages. */
import type { KafkaOptions } from '@nestjs/microservices';
import { type Admin, type ConsumerConfig, Kafka, logLevel, type ProducerConfig } from 'kafkajs';
import { Broker } from '../../../sample/brokers/broker.js';
import { kafka } from '../../../sample/brokers/kafka.js';

/** The members that only Nest's Kafka client has. */
export interface ResponseSubscriber {
  subscribeToResponseOf(pattern: unknown): void;
  connect(): Promise<unknown>;
}

export class TestKafka {
  private groups = 0;

  private constructor(
    readonly broker: Broker,
    readonly kafka: Kafka,
    readonly admin: Admin,
  ) {}

  static async start(): Promise<TestKafka> {
    const broker = await Broker.start(kafka);
    const client = new Kafka({ ...connection(broker.port), clientId: 'spec' });
    const admin = client.admin();
    await admin.connect();
    return new TestKafka(broker, client, admin);
  }

  /** Creates topics and their reply topics. */
  async topics(names: readonly string[], numPartitions = 1): Promise<void> {
    const topics = names.flatMap(topic => [
      { topic, numPartitions },
      { topic: `${topic}.reply`, numPartitions: 1 },
    ]);
    await this.admin.createTopics({ topics, waitForLeaders: true });
  }

  /** Returns the settings of a server or client, in its own group or in the given one. */
  options(
    groupId = `group-${(this.groups += 1)}`,
    { consumer, producer }: { consumer?: Partial<ConsumerConfig>; producer?: ProducerConfig } = {},
  ): NonNullable<KafkaOptions['options']> {
    return {
      client: { ...connection(this.broker.port), clientId: 'orders' },
      consumer: { groupId, maxWaitTimeInMs: 200, retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 20 }, ...consumer },
      producer: { allowAutoTopicCreation: false, ...producer },
      // Otherwise a joining consumer would skip messages.
      subscribe: { fromBeginning: true },
      // One message that never completes would block all others.
      run: { partitionsConsumedConcurrently: 32 },
    } as NonNullable<KafkaOptions['options']>;
  }

  async stop(): Promise<void> {
    await this.admin.disconnect();
    await this.broker.stop();
  }
}

function connection(port: number) {
  return {
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1000,
    retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 20 },
  };
}

/** Subscribes to the replies of every pattern and joins the group, as `send()` requires. */
export async function joinForAnswers(client: ResponseSubscriber, patterns: readonly string[]): Promise<void> {
  for (const pattern of patterns) client.subscribeToResponseOf(pattern);
  await client.connect();
}
