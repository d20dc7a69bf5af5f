/** The command `npm run brokers`: starts the brokers and stops them at Ctrl+C. */
import { once } from 'node:events';
import { startBrokers } from './start.js';

const { env, missing, stop } = await startBrokers({});
for (const reason of missing) console.log(`# not here: ${reason}`);
for (const [variable, address] of Object.entries(env)) console.log(`export ${variable}=${address}`);
console.log('# Ctrl+C ends them.');
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
await stop();
