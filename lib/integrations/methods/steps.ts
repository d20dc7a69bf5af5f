/** Traces guards, pipes, interceptors, filters and middleware: finds their classes, and wraps the method that Nest calls. */
import 'reflect-metadata';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { isSpanned } from '../../api/span-attribute.decorator.js';
import { isTouchable, methodsOf } from '../../wrapping/has-methods.js';
import { type Undo, undoAll } from '../../wrapping/replace-method.js';
import { replaceOnce } from '../../wrapping/shared-installation.js';
import type { ClassStep } from './attributes.js';
import type { Claims } from './claims.js';
import { chainOf, isMethod } from './class-methods.js';
import { runInterceptor } from './interceptors.js';
import { runMiddleware } from './until-next.js';
import { tracedCall } from './traced-call.js';

/** The method that Nest calls. */
const METHODS: Readonly<Record<ClassStep, string>> = {
  guard: 'canActivate',
  pipe: 'transform',
  interceptor: 'intercept',
  filter: 'catch',
  middleware: 'use',
};

/** The metadata of decorators that name classes or instances. */
const DECLARATIONS: readonly (readonly [metadata: string, step: ClassStep])[] = [
  ['__guards__', 'guard'],
  ['__pipes__', 'pipe'],
  ['__interceptors__', 'interceptor'],
  ['__exceptionFilters__', 'filter'],
];

/** Metadata of the parameters of a handler, with their pipes. */
const PARAMETERS = '__routeArguments__';

export class Steps {
  private readonly steps: Undo[] = [];
  readonly undo = undoAll(this.steps);

  /** `isOn`: the option `methods.steps`. If it is off, steps are claimed only, so that they are not taken for other methods. */
  constructor(
    private readonly claims: Claims,
    private readonly isOn: boolean,
  ) {}

  /** Wraps the steps that are known so far. `except`: our own interceptor. */
  look(config: ApplicationConfig, modules: ModulesContainer, except: object): void {
    const add = (steps: readonly unknown[], kind: ClassStep): void => {
      for (const step of steps) if (step !== except) this.add(step, kind);
    };
    add(config.getGlobalGuards(), 'guard');
    add(config.getGlobalPipes(), 'pipe');
    add(config.getGlobalInterceptors(), 'interceptor');
    add(config.getGlobalFilters(), 'filter');
    for (const { providers, controllers, injectables, middlewares } of modules.values()) {
      for (const { metatype, isNotMetatype } of middlewares.values()) if (!isNotMetatype) this.add(metatype, 'middleware');
      // Providers with a subtype are those of `APP_GUARD`, `APP_PIPE` and so on.
      for (const { subtype, metatype, isNotMetatype, instance } of [...injectables.values(), ...providers.values()]) {
        if (subtype !== undefined) this.add(isNotMetatype ? instance : metatype, subtype);
      }
      for (const { metatype, isNotMetatype } of [...controllers.values(), ...providers.values()]) {
        if (!isNotMetatype && typeof metatype === 'function') for (const [step, kind] of declaredOn(metatype)) this.add(step, kind);
      }
    }
  }

  /** Wraps the step of a class, or of the class of an instance. A class may be several kinds of steps: each call adds one. */
  add(step: unknown, kind: ClassStep): void {
    const classRef = typeof step === 'function' ? step : isTouchable(step) ? step.constructor : undefined;
    if (typeof classRef !== 'function' || classRef.name === OURS) return;
    for (const { prototype } of chainOf(classRef)) this.wrap(prototype as object, METHODS[kind], kind);
  }

  private wrap(target: object, name: string, step: ClassStep): void {
    const descriptor = Object.getOwnPropertyDescriptor(target, name);
    if (descriptor?.configurable !== true || !isMethod(descriptor.value) || isSpanned(target, name)) return;
    if (!this.claims.claim(target, name) || !this.isOn) return;
    const run = step === 'interceptor' ? runInterceptor() : step === 'middleware' ? runMiddleware : undefined;
    this.steps.push(replaceOnce(target, name, method => tracedCall(target, name, method, { step }, run)));
  }
}

/** The filter that tells tracing of exceptions. */
const OURS = 'ExceptionObserver';

/** Yields the classes and instances that decorators of a class, of its methods and of their parameters name. */
function* declaredOn(classRef: Function): Generator<readonly [step: unknown, kind: ClassStep]> {
  const places: Function[] = [classRef];
  for (const [name, method] of methodsOf(classRef)) {
    places.push(method);
    const parameters = (Reflect.getMetadata(PARAMETERS, classRef, name) ?? {}) as Readonly<Record<string, { readonly pipes?: unknown }>>;
    for (const { pipes } of Object.values(parameters)) yield* each(pipes, 'pipe');
  }
  for (const place of places) for (const [key, kind] of DECLARATIONS) yield* each(Reflect.getMetadata(key, place), kind);
}

function* each(named: unknown, kind: ClassStep): Generator<readonly [step: unknown, kind: ClassStep]> {
  if (Array.isArray(named)) for (const step of named as unknown[]) yield [step, kind];
}
