/** Wraps a method: a call gets a span if a span that records is active. Outside of one, nothing is made. */
import type { Context } from '@opentelemetry/api';
import { isNoSpanDeclared } from '../../api/no-span.decorator.js';
import { isSpanned, spanAttributesOf } from '../../api/span-attribute.decorator.js';
import { type Step, stepAttributes } from './attributes.js';
import { codeAttributes, codeName } from '../../conventions/code.js';
import { activeContext } from '../../spans/context.js';
import { type CallSite, isRecordingIn, runPending } from '../../spans/pending-call.js';
import { isUntraced } from '../../spans/run-in-span.js';
import { applicationIn, type TracingApplication } from '../../spans/work.js';
import { classOf, nameOf } from '../../wrapping/class-of-call.js';
import { layersOf, type Method, wrapMethod } from '../../wrapping/replace-method.js';
import type { Selection } from './selection.js';

/** How the methods of one application are traced. */
export interface MethodTracing {
  readonly selection: Selection;
  readonly countBelowMs: number;
}

/** Applications share the wrappers of a class. */
const tracings = new WeakMap<TracingApplication, MethodTracing>();

/** Traces methods in the work of `application` from now on. Returns how to undo it. */
export function traceMethodsOf(application: TracingApplication, tracing: MethodTracing): () => void {
  tracings.set(application, tracing);
  return () => tracings.delete(application);
}

/** All wrappers. */
const wrappers = new WeakSet<Function>();

/** What a wrapper is for, if it is not a method of a class. */
export interface CallKind {
  /** The class to name, if the function is a field of an object or has no class. */
  readonly holder?: Function;
  /** The step of a request that the method does. */
  readonly step?: Step;
  /** Is added to the name of the span. */
  readonly suffix?: string;
}

/** Runs one call: `fn` with `self` and `args`, as a call of `site`. */
export type Runner = (site: CallSite, active: Context, fn: Method, self: unknown, args: unknown[]) => unknown;

/** Returns the wrapper of a method that `target` declares: a prototype, or a class for static methods. */
export function tracedCall(target: object, name: string, method: Method, kind: CallKind = {}, run: Runner = runPending): Method {
  const sites = new Sites(target, name, kind, isAsyncFunction(method));
  const wrapper = wrapMethod(method, function (this: unknown, ...args: unknown[]): unknown {
    const active = activeContext();
    if (!isRecordingIn(active)) return Reflect.apply(method, this, args);
    const site = sites.of(this, active);
    if (site === undefined || isUntraced(active)) return Reflect.apply(method, this, args);
    return run(site, active, method, this, args);
  });
  wrappers.add(wrapper);
  return wrapper;
}

function isAsyncFunction(method: Method): boolean {
  return Object.prototype.toString.call(method) === '[object AsyncFunction]';
}

/** What is known of calls of one method, by the class of the instance. */
class Sites {
  private latestOwner: unknown;
  private latestTracing: MethodTracing | undefined = undefined;
  private latest: CallSite | undefined = undefined;
  private readonly known = new WeakMap<MethodTracing, WeakMap<object, { readonly site: CallSite | undefined }>>();

  constructor(
    private readonly target: object,
    private readonly name: string,
    private readonly kind: CallKind,
    private readonly isAsync: boolean,
  ) {}

  /** Returns undefined if the call is not traced. */
  of(self: unknown, active: Context): CallSite | undefined {
    const application = applicationIn(active);
    const tracing = application && tracings.get(application);
    if (tracing === undefined) return undefined;
    const owner = this.kind.holder ?? classOf(self) ?? this.target;
    if (tracing === this.latestTracing && owner === this.latestOwner) return this.latest;
    let byOwner = this.known.get(tracing);
    if (byOwner === undefined) this.known.set(tracing, (byOwner = new WeakMap()));
    let found = byOwner.get(owner);
    if (found === undefined) byOwner.set(owner, (found = { site: this.describe(owner, tracing) }));
    this.latestOwner = owner;
    this.latestTracing = tracing;
    return (this.latest = found.site);
  }

  private describe(owner: object, { selection, countBelowMs }: MethodTracing): CallSite | undefined {
    const { target, name, isAsync } = this;
    const { holder, step, suffix = '' } = this.kind;
    const isStatic = typeof target === 'function';
    const declaring = holder ?? (isStatic ? target : target.constructor);
    const isDescendant = owner === declaring || Object.prototype.isPrototypeOf.call(declaring, owner);
    const classRef = isDescendant && typeof owner === 'function' ? owner : declaring;
    if (
      isNoSpanDeclared(classRef, target, name) ||
      !(step === undefined ? selection.selects(classRef, name) : selection.allows(classRef, name))
    )
      return undefined;
    if (holder === undefined && isOverridden(isStatic ? classRef : (classRef.prototype as object), target, name)) return undefined;
    const code = codeName(nameOf(classRef) || nameOf(declaring), name);
    const label = code + suffix;
    const attributes = { ...(step === undefined ? undefined : stepAttributes(step)), ...codeAttributes(code) };
    const argumentAttributes = spanAttributesOf(target, name);
    return {
      name: label,
      plan: { options: { attributes, areAttributesFinal: true }, memory: { isLazy: false } },
      countBelowMs: argumentAttributes === undefined ? countBelowMs : 0,
      attributesOf: argumentAttributes && (args => ({ ...argumentAttributes(args), ...attributes })),
      isAsync,
    };
  }
}

/** Returns true if a traced method of a subclass hides the method, so that only `super` reaches it. One span is enough for both. */
function isOverridden(bottom: object, target: object, name: string): boolean {
  for (let place: object | null = bottom; place !== null && place !== target; place = Object.getPrototypeOf(place) as object | null) {
    const method: unknown = Object.getOwnPropertyDescriptor(place, name)?.value;
    if (typeof method === 'function' && (isSpanned(place, name) || isTraced(method))) return true;
  }
  return false;
}

/** Returns true for one of our wrappers, also if other code has wrapped it again. */
function isTraced(method: Function): boolean {
  for (const layer of layersOf(method)) if (wrappers.has(layer)) return true;
  return false;
}
