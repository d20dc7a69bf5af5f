/** The process that is measured: one Nest application in one variant on one adapter, which tells its parent what it has used and made. */
import { createApplication } from './application.mjs';
import { spansDropped } from './dropping.exporter.mjs';
import { answer, tell } from './parent.mjs';

const [setUpName, adapterName, optionsJson] = process.argv.slice(2);
const app = await createApplication(setUpName, adapterName, JSON.parse(optionsJson));
await app.listen(0, '127.0.0.1');
const listening = { port: app.getHttpServer().address().port, cpuUs: cpuUs() };

const { requestsHandled } = await import('./users.mjs');
answer({
  sample: () => ({ cpuUs: cpuUs(), handled: requestsHandled(), spans: spansDropped() }),
  startProfile: async () => (await import('./profiler.mjs')).startProfile(),
  stopProfile: async details => (await import('./profiler.mjs')).stopProfile(details),
});
tell(listening);

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}
