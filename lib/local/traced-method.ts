/** The wrapper that `@Span()` and `@Traceable()` put around a method: it knows what each call's span is called and carries. */
import type { Attributes, Link, SpanKind, SpanOptions } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import { codeName } from '../conventions/code.js';
import { messages } from '../tracing.messages.js';
import { toAttributes } from './attribute-value.js';
import { isNoSpanClass, isNoSpanMethod } from './no-span.decorator.js';
import { type ResultMemory, runInSpan, type SpanPlan } from './run-in-span.js';
import { markSpanned, spanAttributesOf } from './span-attribute.decorator.js';
import { guarded } from './trouble.js';
import { wrapMethod } from './wrap-method.js';

/** @internal */
export type Method = (this: unknown, ...args: unknown[]) => unknown;

/** What the decorators' options come down to. @internal */
export interface MethodSpan {
  readonly name?: string | ((...args: unknown[]) => string) | undefined;
  readonly attributes?: Readonly<Record<string, unknown>> | ((...args: unknown[]) => Readonly<Record<string, unknown>>) | undefined;
  readonly resultAttributes?: ((result: unknown) => Readonly<Record<string, unknown>>) | undefined;
  readonly kind?: SpanKind | undefined;
  readonly root?: boolean | undefined;
  readonly links?: readonly Link[] | ((...args: unknown[]) => readonly Link[]) | undefined;
}

/** What calls of the method on instances of one class have in common. */
interface CallSite {
  readonly isHidden: boolean;
  readonly spanName: string;
  readonly plan: Omit<SpanPlan, 'options'> & { readonly codeName: string; readonly options: SpanOptions };
}

/** Wraps a method that `target`, a prototype or for static methods a class, declares. @internal */
export function tracedMethod(target: object, method: string | symbol, original: Method, options: MethodSpan): Method {
  markSpanned(target, method);
  const sites = new WeakMap<object, CallSite>();
  const memory: ResultMemory = { isLazy: expectedLaziness(target, method, original) };
  const isPerCall = [options.name, options.attributes, options.links].some(option => typeof option === 'function');
  let latestOwner: object | undefined;
  let latest: CallSite | undefined;

  const siteOf = (self: unknown): CallSite => {
    const owner = classOf(self) ?? target;
    if (latest !== undefined && owner === latestOwner) return latest;
    let site = sites.get(owner);
    if (site === undefined) {
      site = describeSite(target, method, owner, options, memory);
      sites.set(owner, site);
    }
    latestOwner = owner;
    latest = site;
    return site;
  };

  // Parameter decorators have run by the time of the first call.
  let argumentAttributes: ReturnType<typeof spanAttributesOf> | null = null;

  return wrapMethod(original, function (this: unknown, ...args: unknown[]): unknown {
    const site = siteOf(this);
    if (site.isHidden) return original.apply(this, args);
    if (argumentAttributes === null) argumentAttributes = spanAttributesOf(target, method);
    const call = (): unknown => original.apply(this, args);
    if (!isPerCall && argumentAttributes === undefined) return runInSpan(site.spanName, site.plan, call);
    return runInSpan(nameOfCall(site, options, args), planOfCall(site, options, argumentAttributes, args), call);
  });
}

function describeSite(target: object, method: string | symbol, owner: object, options: MethodSpan, memory: ResultMemory): CallSite {
  const declaring = typeof target === 'function' ? target : target.constructor;
  const isDescendant = owner === declaring || Object.prototype.isPrototypeOf.call(declaring, owner);
  const classRef = isDescendant && typeof owner === 'function' ? owner : declaring;
  const className = nameOf(classRef) || nameOf(declaring);
  const code = codeName(className, String(method));
  const { kind, root, attributes, links, resultAttributes } = options;
  return {
    isHidden: isNoSpanMethod(target, method) || isNoSpanClass(classRef),
    spanName: typeof options.name === 'string' && options.name !== '' ? options.name : code,
    plan: {
      codeName: code,
      isRoot: root,
      memory,
      options: {
        kind,
        attributes: typeof attributes === 'object' ? toAttributes(attributes) : undefined,
        links: links === undefined || typeof links === 'function' ? undefined : [...links],
      },
      resultAttributes: resultAttributes && (result => attributesFrom(optionOf('resultAttributes', code), () => resultAttributes(result))),
    },
  };
}

function nameOfCall(site: CallSite, { name }: MethodSpan, args: unknown[]): string | (() => string) {
  if (typeof name !== 'function') return site.spanName;
  return () => {
    const chosen: unknown = guarded(optionOf('name', site.plan.codeName), () => name(...args), site.spanName);
    return typeof chosen === 'string' && chosen !== '' ? chosen : site.spanName;
  };
}

/** The plan of one call, with what its arguments add; they are looked at only if the span may record. */
function planOfCall(
  { plan }: CallSite,
  { attributes, links }: MethodSpan,
  argumentAttributes: ((args: readonly unknown[]) => Attributes) | undefined,
  args: unknown[],
): SpanPlan {
  const { codeName: code, options: fixed } = plan;
  const options = (): SpanOptions => ({
    ...fixed,
    attributes: {
      ...argumentAttributes?.(args),
      ...fixed.attributes,
      ...(typeof attributes === 'function' ? attributesFrom(optionOf('attributes', code), () => attributes(...args)) : undefined),
    },
    links: typeof links === 'function' ? guarded(optionOf('links', code), () => [...links(...args)], []) : fixed.links,
  });
  return { ...plan, options };
}

function attributesFrom(option: string, callback: () => Readonly<Record<string, unknown>> | undefined): Attributes | undefined {
  const chosen = guarded(option, callback, undefined);
  return chosen === undefined ? undefined : guarded(option, () => toAttributes(chosen), undefined);
}

function optionOf(option: string, code: string): string {
  return messages.spanOption(option, code);
}

function classOf(self: unknown): object | undefined {
  if (typeof self === 'function') return self;
  if (typeof self !== 'object' || self === null) return undefined;
  const owner: unknown = self.constructor;
  return typeof owner === 'function' ? owner : undefined;
}

/** Empty for a class without name, and for one whose static `name` is something else. */
function nameOf(classRef: Function): string {
  const name: unknown = classRef.name;
  return typeof name === 'string' ? name : '';
}

/** What the declaration tells about the result; `undefined` where the first call has to. */
function expectedLaziness(target: object, method: string | symbol, original: Method): boolean | undefined {
  switch (Object.prototype.toString.call(original)) {
    case '[object GeneratorFunction]':
    case '[object AsyncGeneratorFunction]':
      return true;
    case '[object AsyncFunction]':
      return false;
  }
  const returned: unknown = Reflect.getMetadata('design:returntype', target, method);
  if (typeof returned !== 'function' || returned === Object) return undefined;
  return returned === Observable || returned.prototype instanceof Observable;
}
