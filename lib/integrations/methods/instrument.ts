/** Traces the methods of providers, without decorators: each call is a span, or is counted, below a span that records. */
import type { NestSeams } from '../../nest/integration.js';
import type { TracingApplication } from '../../spans/work.js';
import { isTouchable } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { type Undo, undoAll } from '../../wrapping/replace-method.js';
import { chainOf, ClassMethods } from './class-methods.js';
import { declaredClasses, modulesApart } from './declared-classes.js';
import { Claims } from './claims.js';
import { traceMiddleware } from './middleware.js';
import { Steps } from './steps.js';
import { fields } from './fields.js';
import { tracedLayer, traceReplies } from './layers.js';
import { Selection } from './selection.js';
import { locate } from './source-files.js';
import { traceMethodsOf } from './traced-call.js';

/** Traces the methods of an application. */
export function instrument(application: TracingApplication, nest: NestSeams): void {
  const options = application.methods;
  if (options === undefined) return;
  const selection = new Selection(options);
  const apart = modulesApart(nest.modules);
  const isTraced = (moduleClass: Function | undefined): boolean => moduleClass !== undefined && !apart.has(moduleClass);
  let wrapping: Wrapping | undefined;
  // Interceptors are wrapped for HTTP, too, and later. Who wraps last must be the first to put back.
  nest.whileInForce(() => {
    wrapping = new Wrapping(nest, selection, options.steps, application.graphql.resolvers);
    const untrace = traceMethodsOf(application, { selection, countBelowMs: options.countBelowMs });
    // Nest has made few instances yet. Routers and explorers that bind methods will find the wrapped ones.
    wrapping.look();
    return undoAll([wrapping.undo, untrace]);
  });
  if (options.steps) {
    traceMiddleware(nest, middleware => {
      wrapping?.steps.add(middleware, 'middleware');
    });
    nest.onLayer(tracedLayer);
    const replies: Undo[] = [];
    nest.onAdapter(adapter => replies.push(traceReplies(adapter)));
    nest.onClose(undoAll(replies));
  }
  // Filters are bound when routes are registered. Global ones are known by now. Interceptors are wrapped for HTTP right after that.
  nest.onConfigure(() => wrapping?.look(), true);
  nest.onInit(() => wrapping?.look());
  nest.eachProvider(instances(selection, () => wrapping?.classes, isTraced));
  if (options.fields) nest.eachProvider(fields(selection, isTraced));
}

/** What is wrapped while the application is in force. */
class Wrapping {
  private readonly claims = new Claims();
  readonly steps: Steps;
  readonly classes: ClassMethods;
  readonly undo: Undo;

  constructor(
    private readonly nest: NestSeams,
    private readonly selection: Selection,
    hasSteps: boolean,
    tracesResolvers: boolean,
  ) {
    this.steps = new Steps(this.claims, hasSteps);
    this.classes = new ClassMethods(selection, this.claims, tracesResolvers);
    this.undo = undoAll([this.steps.undo, this.classes.undo]);
  }

  /** Wraps the classes that are known so far. */
  look(): void {
    const { config, modules, interceptor } = this.nest;
    const declared = [...declaredClasses(modules)].filter(({ classRef }) => !this.classes.has(classRef));
    locate(declared.flatMap(({ classRef, moduleClass }) => [...chainOf(classRef), moduleClass]));
    for (const { classRef, moduleClass } of declared) this.selection.declare(classRef, moduleClass);
    // A step that is also a provider is wrapped as a step.
    this.steps.look(config, modules, interceptor);
    for (const { classRef } of declared) this.classes.add(classRef);
  }
}

/** Wraps the classes of what factories return, of values, and of what is made or loaded later. */
function instances(
  selection: Selection,
  classes: () => ClassMethods | undefined,
  isTraced: (moduleClass: Function | undefined) => boolean,
): ProviderTracing {
  return {
    everyInstance: true,
    find: ({ instance, classRef, moduleClass }) => {
      const isWanted = classRef !== Object && classRef !== Function && isTraced(moduleClass) && classes()?.has(classRef) === false;
      return isWanted && isTouchable(instance) ? [classRef] : [];
    },
    install: (classRef, { moduleClass }) => {
      if (typeof classRef !== 'function') return () => undefined;
      if (moduleClass !== undefined) selection.declare(classRef, moduleClass);
      classes()?.add(classRef);
      // The methods of all classes are put back together.
      return () => undefined;
    },
  };
}
