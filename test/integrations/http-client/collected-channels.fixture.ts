/**
 * Starts and closes an application before the first call, so that its channels are collected. Then prints the spans of the next
 * application.
 */
import { setImmediate } from 'node:timers/promises';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { startDownstream } from './downstream.js';
import { OutboundApplication } from './outbound-application.js';

traceFetch()();
await setImmediate();
gc?.();
const stop = traceFetch();
// Node handles collected objects in a later turn of the event loop.
await setImmediate();
await setImmediate();
const downstream = await startDownstream();
const application = new OutboundApplication();
await application.serve(async () => (await fetch(`${downstream.url}/ok`)).text());
stop();
await downstream.close();
console.log(application.tree());
