/**
 * Registers the provider, the propagator and the context manager with the OpenTelemetry API. It fills free slots only and empties them
 * later.
 */
import { context, propagation, type TextMapPropagator, trace, type TracerProvider } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { reportTrouble } from '../options/trouble.js';
import { messages } from '../options/messages.js';
import { installOnce } from '../wrapping/shared-installation.js';
import { type EarlyProvider, earlyProviders } from './api-copies.js';
import { listenToDiagnostics } from './diagnostics.js';

type Slot = 'trace' | 'propagation' | 'context';

interface Entry {
  /** Undefined if the application uses a provider that is already registered. */
  readonly provider: TracerProvider | undefined;
  readonly propagator: TextMapPropagator;
}

/** The state that all copies of this package in the process share. */
interface State {
  /** The applications that may fill a slot, oldest first. */
  readonly entries: Entry[];
  /** The values in the slots that we filled. In the slot `trace` this is a proxy of the API. */
  readonly ours: Partial<Record<Slot, unknown>>;
  /** The provider behind the proxy. */
  provider: TracerProvider | undefined;
  /** Proxies of other copies of the API that use the same provider. */
  early: readonly EarlyProvider[];
}

const CONTEXT_MANAGER = Symbol.for('nestjs-tracing/context-manager');
const STATE = Symbol.for('nestjs-tracing/registrations');
const state = ((globalThis as { [STATE]?: State })[STATE] ??= { entries: [], ours: {}, provider: undefined, early: [] });

// The API cannot tell whether a slot is free: it logs an error when a used slot is set.
const API = Symbol.for('opentelemetry.js.api.1');
const slots = (): Partial<Record<Slot | 'version', unknown>> => (globalThis as { [API]?: ReturnType<typeof slots> })[API] ?? {};
const isOurs = (slot: Slot): boolean => state.ours[slot] !== undefined && slots()[slot] === state.ours[slot];
const isForeign = (slot: Slot): boolean => slots()[slot] !== undefined && !isOurs(slot);

/** Returns the version of the API that filled the slots. Returns undefined if all slots are empty. @internal */
export function apiVersion(): string | undefined {
  const { version } = slots();
  return typeof version === 'string' ? version : undefined;
}

/** Returns the registered provider of the user or another library, as the API returns it. @internal */
export function foreignProvider(): TracerProvider | undefined {
  if (!isForeign('trace')) return undefined;
  const provider = trace.getTracerProvider();
  if (provider === slots().trace) return provider;
  // An older copy of the API registered it. This copy does not read such a registration.
  reportTrouble('global:unseen', messages.apiUnseen(String(slots().version)));
  return undefined;
}

/** Returns the registered propagator of the user or another library. It is looked up at each use. @internal */
export function foreignPropagator(): TextMapPropagator | undefined {
  return isForeign('propagation') ? propagation : undefined;
}

/** The registrations of one application: provider, propagator, context manager, and a logger for OpenTelemetry's own log. @internal */
export class GlobalRegistration {
  private readonly entry: Entry;
  private undo: readonly (() => void)[] = [];

  constructor(provider: TracerProvider | undefined, propagator: TextMapPropagator) {
    this.entry = { provider, propagator };
    this.enter();
  }

  /** Fills the slots that are free. */
  enter(): void {
    state.entries.push(this.entry);
    fillFreeSlots();
    this.undo = [holdContextManager(), listenToDiagnostics()];
  }

  /** Empties this application's slots. The next application fills them. */
  handOver(): void {
    const { provider, propagator } = this.entry;
    const position = state.entries.indexOf(this.entry);
    if (position < 0) return;
    state.entries.splice(position, 1);
    if (isOurs('propagation') && slots().propagation === propagator) propagation.disable();
    if (isOurs('trace') && state.provider === provider) {
      trace.disable();
      for (const proxy of state.early) proxy.setDelegate(undefined);
      state.early = [];
      state.provider = undefined;
    }
    fillFreeSlots();
  }

  /** Unregisters the context manager and the logger if this was the last application. */
  leave(): void {
    for (const undo of this.undo) undo();
  }
}

/**
 * Registers a context manager if there is none. Without one, no span would have a parent. Returns a function that releases it. @internal
 */
export function holdContextManager(): () => void {
  if (slots().context === undefined) {
    const manager = new AsyncLocalStorageContextManager().enable();
    fill('context', () => context.setGlobalContextManager(manager));
  }
  return installOnce(state, CONTEXT_MANAGER, () => () => {
    if (isOurs('context')) context.disable();
  });
}

function fillFreeSlots(): void {
  const provider = state.entries.find(entry => entry.provider !== undefined)?.provider;
  if (provider !== undefined && slots().trace === undefined) {
    const early = earlyProviders();
    if (fill('trace', () => trace.setGlobalTracerProvider(provider))) {
      state.provider = provider;
      state.early = early;
      for (const proxy of early) proxy.setDelegate(provider);
    }
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
