/** Finds out whether OpenTelemetry's own instrumentations of node:http and undici are at work, so that no call gets two spans. */
import { channel } from 'node:diagnostics_channel';
import http from 'node:http';
import https from 'node:https';

/**
 * Whether instrumentation-http makes the spans of calls through `node:http`. It replaces `http.request` by a function it marks, and does
 * not where its outgoing side is switched off. A call that it is told to ignore goes without span: the user said so.
 */
export function isHttpInstrumented(): boolean {
  return isWrapped(http.request) || isWrapped(https.request);
}

function isWrapped(request: object): boolean {
  return '__wrapped' in request && request.__wrapped === true;
}

/** Who else listens to the requests of undici. */
export interface OtherListeners {
  /** Somebody heard of the request before us, so that its headers tell what they did. */
  readonly before: boolean;
  /** instrumentation-undici will hear of it after us. */
  readonly instrumentationAfter: boolean;
  /** Anybody at all comes after us. */
  readonly after: boolean;
}

const nobody: OtherListeners = { before: false, instrumentationAfter: false, after: false };

/** Node calls listeners in the order of their subscription, and keeps them in a list that it does not document. */
export function otherListeners(channelName: string, ours: Function): OtherListeners {
  const listeners = (channel(channelName) as { _subscribers?: unknown })._subscribers;
  if (!Array.isArray(listeners)) return { before: true, instrumentationAfter: false, after: false };
  if (listeners.length === 1) return nobody;
  const place = listeners.indexOf(ours);
  const after = listeners.slice(place + 1) as Function[];
  return {
    before: place > 0,
    instrumentationAfter: after.some(listener => listener.name === 'bound onRequestCreated'),
    after: after.length > 0,
  };
}
