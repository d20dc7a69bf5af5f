/** The providers and controllers of an application that exist once: where what Nest's packages register handlers with is found. */
import type { ModulesContainer } from '@nestjs/core';
import { isTouchable, memberOf } from '../local/has-methods.js';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';

/** One provider as Nest keeps it. */
interface Provided {
  /** For a provider whose instances are made later, what they will have as prototype. */
  readonly instance: object;
  /** Of the instance. */
  readonly classRef: Function;
  /** False where there is an instance per request, or per consumer. */
  readonly isStatic: boolean;
}

/** Looks at one provider; returns what undoes what it did, if anything. */
export type Entrance = (provided: Provided) => (() => void) | undefined;

/** Shows every provider to the entrances; returns what undoes all they did. One that fails is left out. @internal */
export function openEntrances(modules: ModulesContainer, entrances: readonly Entrance[]): () => void {
  const undo: (() => void)[] = [];
  for (const provided of providersIn(modules)) {
    for (const entrance of entrances) {
      try {
        const close = entrance(provided);
        if (close !== undefined) undo.push(close);
      } catch (error) {
        reportTrouble('inbound.entrance', messages.entranceNotTraced(), error);
      }
    }
  }
  return () => {
    for (const close of undo.splice(0).reverse()) close();
  };
}

function* providersIn(modules: ModulesContainer): Generator<Provided> {
  const seen = new WeakSet();
  for (const module of modules.values()) {
    for (const wrapper of [...module.providers.values(), ...module.controllers.values()]) {
      const instance: unknown = wrapper.instance;
      if (!isTouchable(instance) || seen.has(instance)) continue;
      seen.add(instance);
      const classRef = memberOf(instance, 'constructor');
      if (typeof classRef !== 'function') continue;
      yield { instance, classRef, isStatic: wrapper.isDependencyTreeStatic() && !wrapper.isTransient };
    }
  }
}
