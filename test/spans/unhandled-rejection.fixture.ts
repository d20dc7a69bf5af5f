/** A process of its own in which nobody handles the rejection of a decorated method; prints what Node reports. */
import { Span } from '../../lib/api/span.decorator.js';
import { TestApplication } from '../application.js';

const app = new TestApplication();
const reports: unknown[] = [];
process.on('unhandledRejection', (reason, promise) => reports.push([(reason as Error).message, promise === returned]));

class Orders {
  @Span()
  async lose() {
    await Promise.resolve();
    throw new Error('nobody cares');
  }
}
const returned = new Orders().lose();
setTimeout(() => console.log(JSON.stringify({ reports, spans: app.names, complaints: app.reset() })), 20);
