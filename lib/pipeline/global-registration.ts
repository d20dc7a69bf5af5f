/** The process-wide slots of the OpenTelemetry API: what others put there stays, what is free is filled and given back. */
import { context, propagation, type TextMapPropagator, trace, type TracerProvider } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';

type Slot = 'trace' | 'propagation' | 'context';

interface Entry {
  /** `undefined` where the application works with a provider that somebody else registered. */
  readonly provider: TracerProvider | undefined;
  readonly propagator: TextMapPropagator;
}

/** Shared by all copies of this package in the process. */
interface State {
  /** Applications that may fill a slot, the oldest first. */
  readonly entries: Entry[];
  /** Applications that need a context manager. */
  alive: number;
  /** What the API holds while it is ours; in the slot `trace` that is a proxy of its own. */
  readonly ours: Partial<Record<Slot, unknown>>;
  /** The provider behind the proxy. */
  provider: TracerProvider | undefined;
}

const STATE = Symbol.for('nestjs-tracing/registrations');
const state: State = ((globalThis as { [STATE]?: State })[STATE] ??= { entries: [], alive: 0, ours: {}, provider: undefined });

// The API itself says that a slot is taken only by logging an error when one tries.
const API = Symbol.for('opentelemetry.js.api.1');
const slots = (): Partial<Record<Slot | 'version', unknown>> => (globalThis as { [API]?: ReturnType<typeof slots> })[API] ?? {};
const isOurs = (slot: Slot): boolean => state.ours[slot] !== undefined && slots()[slot] === state.ours[slot];
const isForeign = (slot: Slot): boolean => slots()[slot] !== undefined && !isOurs(slot);

/** The provider that somebody other than this package registered, as the API hands it out. @internal */
export function foreignProvider(): TracerProvider | undefined {
  if (!isForeign('trace')) return undefined;
  const provider = trace.getTracerProvider();
  if (provider === slots().trace) return provider;
  // An older copy of the API holds it, which this one will not look at.
  reportTrouble('global:unseen', messages.apiUnseen(String(slots().version)));
  return undefined;
}

/** The propagator that somebody other than this package registered; looked up anew at each use. @internal */
export function foreignPropagator(): TextMapPropagator | undefined {
  return isForeign('propagation') ? propagation : undefined;
}

/** What an application put into the free slots. @internal */
export interface Registration {
  /** Empties the slots that are this application's and lets the next one fill them. */
  handOver(): void;
  /** Gives the context manager back if this was the last application. */
  leave(): void;
}

/** Fills the slots that are free. @internal */
export function register(provider: TracerProvider | undefined, propagator: TextMapPropagator): Registration {
  const entry: Entry = { provider, propagator };
  state.entries.push(entry);
  state.alive++;
  fillFreeSlots();
  ensureContextManager();
  return { handOver: once(() => handOver(entry)), leave: once(leave) };
}

/** For an application that registers nothing else: a context manager from now on, until what is returned is called. @internal */
export function holdContextManager(): () => void {
  state.alive++;
  ensureContextManager();
  return once(leave);
}

/** Registers a context manager where there is none: without one nothing knows what it is part of. */
function ensureContextManager(): void {
  if (slots().context !== undefined) return;
  const manager = new AsyncLocalStorageContextManager().enable();
  fill('context', () => context.setGlobalContextManager(manager));
}

function fillFreeSlots(): void {
  const provider = state.entries.find(entry => entry.provider !== undefined)?.provider;
  if (provider !== undefined && slots().trace === undefined) {
    if (fill('trace', () => trace.setGlobalTracerProvider(provider))) state.provider = provider;
  }
  const propagator = state.entries[0]?.propagator;
  if (propagator !== undefined && slots().propagation === undefined) fill('propagation', () => propagation.setGlobalPropagator(propagator));
}

function fill(slot: Slot, set: () => boolean): boolean {
  const isFilled = set();
  if (isFilled) state.ours[slot] = slots()[slot];
  else reportTrouble(`global:${slot}`, messages.slotRefused(slot, String(slots().version)));
  return isFilled;
}

function handOver(entry: Entry): void {
  const { provider, propagator } = entry;
  state.entries.splice(state.entries.indexOf(entry), 1);
  if (isOurs('propagation') && slots().propagation === propagator) propagation.disable();
  if (isOurs('trace') && state.provider === provider) {
    trace.disable();
    state.provider = undefined;
  }
  fillFreeSlots();
}

function leave(): void {
  state.alive--;
  if (state.alive === 0 && isOurs('context')) context.disable();
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
