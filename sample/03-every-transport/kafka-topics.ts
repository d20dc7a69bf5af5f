/** Creates the Kafka topics, which must exist before a consumer subscribes. */
import { Kafka } from 'kafkajs';

/** Creates the missing topics, each with its reply topic. */
export async function createTopics(broker: string, topics: readonly string[]): Promise<void> {
  const admin = new Kafka({ brokers: [broker], clientId: 'stations' }).admin();
  await admin.connect();
  try {
    const wanted = topics.flatMap(topic => [topic, `${topic}.reply`]);
    await admin.createTopics({ topics: wanted.map(topic => ({ topic })), waitForLeaders: true });
  } finally {
    await admin.disconnect();
  }
}
