/** Kafka wants topics to be there before anybody listens to them. */
import { Kafka } from 'kafkajs';

/** Makes the topics that are not there yet, each with its place for answers. */
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
