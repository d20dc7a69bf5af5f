/** Registers OpenTelemetry's instrumentations with the provider in use, and disables them when the application ends. */
import { type MeterProvider, metrics, type TracerProvider } from '@opentelemetry/api';
import { classOf } from '../options/checks.js';
import { messages } from '../options/messages.js';
import type { Instrumentation } from '../options/tracing-options.js';
import { reportTrouble } from '../options/trouble.js';
import { earlyInstrumentations } from './early-instrumentations.js';
import { patchLoadedModules } from './loaded-modules.js';

/** An instrumentation with members that most of them have. */
type Configurable = Instrumentation & {
  isEnabled?(): boolean;
  getConfig?(): { readonly enabled?: boolean };
  setConfig?(config: object): void;
  setMeterProvider?(provider: MeterProvider): void;
};

/** The providers of the applications that use an instrumentation, newest last. All copies of this package in the process share them. */
const USERS = Symbol.for('nestjs-tracing/instrumentations');
const users = ((globalThis as { [USERS]?: WeakMap<object, TracerProvider[]> })[USERS] ??= new WeakMap<object, TracerProvider[]>());

/**
 * Gives the instrumentations the provider and enables them. Returns how to undo that. If several applications use one instrumentation, it
 * works for the newest of them, and the last one that ends disables it. @internal
 */
export function registerInstrumentations(instrumentations: readonly Instrumentation[], provider: TracerProvider): () => void {
  const acting = new Set(instrumentations.map(actingFor));
  disableEarly(acting);
  const undo = Array.from(acting, instrumentation => register(instrumentation, provider));
  return () => {
    for (const step of undo.splice(0)) step();
  };
}

/** Disables the early instrumentations that no application uses and that are not `wanted`. @internal */
export function disableEarly(wanted: ReadonlySet<Instrumentation> = new Set()): void {
  for (const early of earlyInstrumentations.values()) {
    const isUsed = wanted.has(early) || (users.get(early)?.length ?? 0) > 0;
    if (!isUsed) attempt(early, 'disable', () => early.disable());
  }
}

/** Returns the early instrumentation of the same class, with the configuration of the given one. If there is none, returns the given one. */
function actingFor(given: Configurable): Configurable {
  const early: Configurable | undefined = earlyInstrumentations.get(given.instrumentationName);
  if (early === undefined || early === given) return given;
  if (early.constructor === given.constructor) {
    attempt(early, 'setConfig', () => early.setConfig?.(given.getConfig?.() ?? {}));
    return early;
  }
  // Two copies of the class have patched the same modules. This one patches them again when the early one is disabled.
  attempt(given, 'disable', () => given.disable());
  return given;
}

function register(instrumentation: Configurable, provider: TracerProvider): () => void {
  const isNew = !users.has(instrumentation);
  const providers = users.get(instrumentation) ?? [];
  users.set(instrumentation, providers);
  providers.push(provider);
  attempt(instrumentation, 'setTracerProvider', () => instrumentation.setTracerProvider(provider));
  // Some work only after this, even if nobody collects metrics.
  attempt(instrumentation, 'setMeterProvider', () => instrumentation.setMeterProvider?.(metrics.getMeterProvider()));
  attempt(instrumentation, 'enable', () => {
    // After disable(), the configuration still says that it is enabled.
    const isEnabled = instrumentation.isEnabled?.() ?? (providers.length > 1 || (isNew && instrumentation.getConfig?.().enabled === true));
    if (!isEnabled) instrumentation.enable();
    patchLoadedModules(instrumentation);
  });
  return () => {
    providers.splice(providers.lastIndexOf(provider), 1);
    const next = providers.at(-1);
    if (next === undefined) attempt(instrumentation, 'disable', () => instrumentation.disable());
    else attempt(instrumentation, 'setTracerProvider', () => instrumentation.setTracerProvider(next));
  };
}

/** Runs a step of an instrumentation. If it throws, logs that once for each instrumentation. */
function attempt(instrumentation: Instrumentation, method: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    const name = instrumentation.instrumentationName || classOf(instrumentation);
    reportTrouble(`instrumentation:${name}`, messages.instrumentationFailed(name, method), error);
  }
}
