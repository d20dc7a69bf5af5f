/** Keeps trouble of tracing GraphQL away from the servers whose hooks it is called from. */
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';

/** What `call` returns; where it throws, that is reported once and nothing comes back. */
export function guard<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
    return undefined;
  }
}
