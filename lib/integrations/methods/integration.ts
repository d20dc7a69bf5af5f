/** Traces the methods of providers. The code for it is loaded with the first application that wants them traced. */
import type { Integration } from '../../nest/integration.js';
import type { instrument } from './instrument.js';

let loaded: typeof instrument | undefined;

export const methods: Integration = {
  name: 'methods',
  async load({ methods }) {
    if (methods !== undefined) loaded = (await import('./instrument.js')).instrument;
  },
  install(application, nest) {
    if (application.methods !== undefined) loaded?.(application, nest);
  },
};
