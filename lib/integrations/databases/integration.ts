/** Traces databases and caches. The code for their libraries is loaded with the first application that wants them traced. */
import type { Integration } from '../../nest/integration.js';
import type { instrument } from './instances.js';
import { traceWaiting } from './trace-database.js';

let loaded: typeof instrument | undefined;

export const databases: Integration = {
  name: 'databases',
  async load({ databases }) {
    if (databases === undefined) return;
    const { instrument, traceInstance } = await import('./instances.js');
    loaded = instrument;
    traceWaiting(traceInstance);
  },
  install: (application, nest) => loaded?.(application, nest),
};
