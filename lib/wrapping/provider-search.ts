/** Finds the providers, controllers and enhancers that integrations trace, also those that are made or loaded later. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { messages } from '../options/messages.js';
import { reportTrouble } from '../options/trouble.js';
import { isTouchable, memberOf, ownValues } from './has-methods.js';
import { replaceMethod, type Undo, undoAll } from './replace-method.js';
import { Installations } from './shared-installation.js';

/** A provider, a controller, or a guard, pipe, interceptor, filter or middleware. @internal */
export class Provided {
  private kept: readonly object[] | undefined;

  constructor(
    /** Its value. It may be a Proxy. */
    readonly instance: object,
    readonly token: unknown,
    /** False if Nest makes an instance for each request or each consumer. */
    readonly isStatic: boolean,
    /** The class of the module that declares it. */
    readonly moduleClass: Function | undefined,
  ) {}

  /** The class of the instance; `Object` for a Proxy. */
  get classRef(): Function {
    const classRef = isTouchable(this.instance) ? memberOf(this.instance, 'constructor') : undefined;
    return typeof classRef === 'function' ? classRef : Object;
  }

  get members(): readonly object[] {
    return (this.kept ??= ownValues(this.instance));
  }
}

/** Defines which providers of an application an integration traces, and how. */
export interface ProviderTracing<Target extends object = object> {
  /** Returns the objects to trace: the provider itself, or objects that it wraps or holds. */
  find(provided: Provided): readonly Target[];
  /** Traces an object, once for each application. Returns how to undo it. */
  install(target: Target, provided: Provided): Undo;
  /**
   * True if {@link find} gets each instance that Nest makes for a request or consumer, before it is used. If false, it gets one placeholder
   * for all of them, which has only their prototype. @default false
   */
  readonly everyInstance?: boolean;
  /** True if {@link find} is called again after the lifecycle hooks, because it searches what providers hold. @default false */
  readonly looksInside?: boolean;
}

/** @internal */
export class ProviderSearch {
  private readonly running = new Set<RunningSearch>();

  /** `except`: an object that is never traced. */
  constructor(
    private readonly modules: ModulesContainer,
    private readonly lazyModules: LazyModuleLoader,
    private readonly except?: object,
  ) {}

  /** Traces the present and all later providers. Skips a provider whose tracing fails. Returns how to undo all of it. */
  trace(tracings: readonly ProviderTracing[]): Undo {
    const search = new RunningSearch(this.modules, tracings, this.except);
    this.running.add(search);
    search.scan();
    return undoAll([
      search.undo,
      // A module that is loaded later adds providers.
      replaceMethod(this.lazyModules, 'load', load => {
        return async function (...args) {
          const moduleRef = await load.apply(this, args);
          search.scan();
          return moduleRef;
        };
      }),
      () => this.running.delete(search),
    ]);
  }

  /** Finds objects that providers have made in their lifecycle hooks. */
  lookAgain(): void {
    for (const search of this.running) search.scan();
  }
}

interface Asker {
  readonly tracing: ProviderTracing;
  readonly installations: Installations;
}

class RunningSearch {
  private readonly askers: readonly Asker[];
  private readonly watched = new Map<ProviderWrapper, Undo>();
  private readonly seen = new WeakSet<ProviderWrapper>();

  constructor(
    private readonly modules: ModulesContainer,
    tracings: readonly ProviderTracing[],
    private readonly except: object | undefined,
  ) {
    this.askers = tracings.map(tracing => ({ tracing, installations: new Installations() }));
  }

  readonly undo: Undo = () => {
    undoAll([...this.askers.map(({ installations }) => installations.undo), ...this.watched.values()])();
  };

  scan(): void {
    for (const wrapper of wrappersIn(this.modules)) {
      const askers = this.seen.has(wrapper) ? this.askers.filter(({ tracing }) => tracing.looksInside === true) : this.askers;
      this.seen.add(wrapper);
      if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) this.show(wrapper, wrapper.instance, true, askers);
      else this.showMadeAgain(wrapper, askers);
    }
  }

  private showMadeAgain(wrapper: ProviderWrapper, askers: readonly Asker[]): void {
    const ofEvery = askers.filter(({ tracing }) => tracing.everyInstance === true);
    const ofOne = askers.filter(({ tracing }) => tracing.everyInstance !== true);
    this.show(wrapper, wrapper.instance, false, ofOne);
    if (ofEvery.length === 0) return;
    const onMade = (made: unknown): void => this.show(wrapper, made, false, ofEvery);
    if (wrapper.isTransient) for (const made of wrapper.getStaticTransientInstances()) onMade(made?.instance);
    if (!this.watched.has(wrapper)) this.watched.set(wrapper, watchProvider(wrapper, onMade));
  }

  private show({ token, host }: ProviderWrapper, instance: unknown, isStatic: boolean, askers: readonly Asker[]): void {
    const isShown = (typeof instance === 'object' && instance !== null) || typeof instance === 'function';
    if (!isShown || instance === this.except) return;
    const provided = new Provided(instance, token, isStatic, host?.metatype);
    for (const { tracing, installations } of askers) {
      try {
        for (const target of tracing.find(provided)) installations.add(target, () => tracing.install(target, provided));
      } catch (error) {
        reportTrouble('provider', messages.providerNotTraced(), error);
      }
    }
  }
}

type Module = ModulesContainer extends Map<string, infer M> ? M : never;
type ProviderWrapper = Module['providers'] extends Map<unknown, infer W> ? W : never;

function* wrappersIn(modules: ModulesContainer): Generator<ProviderWrapper> {
  for (const module of modules.values()) {
    yield* module.providers.values();
    yield* module.controllers.values() as Iterable<ProviderWrapper>;
    // Guards, pipes, interceptors and filters of decorators like `@UseGuards()`.
    yield* module.injectables.values();
    yield* module.middlewares.values();
  }
}

/** Returns the classes of providers, controllers or enhancers, each once. Works before Nest has made instances. @internal */
export function classesOf(modules: ModulesContainer, place: 'providers' | 'controllers' | 'injectables'): Set<Function> {
  const classes = new Set<Function>();
  for (const module of modules.values()) {
    for (const { metatype, isNotMetatype } of module[place].values()) {
      if (typeof metatype === 'function' && !isNotMetatype) classes.add(metatype);
    }
  }
  return classes;
}

/** Returns the providers that Nest has made so far, each once. @internal */
export function instancesOf(modules: ModulesContainer): Set<object> {
  const instances = [...modules.values()].flatMap(module => [...module.providers.values()].map(({ instance }) => instance));
  return new Set(instances.filter(isTouchable));
}

/** Nest's record of an instance, one for each request. Nest reads it once for each consumer. */
interface Place {
  readonly instance?: unknown;
  readonly isResolved?: boolean;
}

/**
 * Calls `onMade` with each instance that Nest makes from now on, before its consumer gets it, once for each consumer. `onMade` must not
 * throw. The class or factory itself is not replaced, because libraries find providers by it.
 */
function watchProvider(wrapper: ProviderWrapper, onMade: (made: unknown) => void): Undo {
  // This object has the prototype of the class, but its constructor never runs.
  const placeholder: unknown = wrapper.instance;
  return replaceMethod(wrapper, 'getInstanceByContextId', find => {
    return function (contextId, inquirerId) {
      const place = find.call(this, contextId, inquirerId) as Place | undefined;
      if (place?.isResolved === true && place.instance !== placeholder) onMade(place.instance);
      return place;
    };
  });
}
