/** A process of its own in which an application comes and goes before the first call, and its channels are collected; prints the next one's spans. */
import { setImmediate } from 'node:timers/promises';
import { traceFetch } from '../../lib/outbound/fetch.js';
import { startDownstream } from './downstream.js';
import { OutboundApplication } from './outbound-application.js';

traceFetch()();
await setImmediate();
gc?.();
const stop = traceFetch();
// Node hears of what was collected in a turn of its own.
await setImmediate();
await setImmediate();
const downstream = await startDownstream();
const application = new OutboundApplication();
await application.serve(async () => (await fetch(`${downstream.url}/ok`)).text());
stop();
await downstream.close();
console.log(application.tree());
