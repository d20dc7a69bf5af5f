/** Wraps a method for `@Span()` and `@Traceable()`, and computes the name, attributes and links of each call's span. */
import type { Attributes, Link, SpanKind } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import { codeAttributes, codeName } from '../conventions/code.js';
import { messages } from '../options/messages.js';
import { isNoSpanDeclared } from './no-span.decorator.js';
import { type ResultMemory, runInSpan, type SpanPlan } from '../spans/run-in-span.js';
import type { FinalSpanOptions } from '../spans/work.js';
import { markSpanned, spanAttributesOf, toAttributes } from './span-attribute.decorator.js';
import { guarded } from '../options/trouble.js';
import { classOf, nameOf } from '../wrapping/class-of-call.js';
import { type Method, wrapMethod } from '../wrapping/replace-method.js';

/** Options of one call's span, returned by a function of the method's arguments. @publicApi */
export interface CallSpanOptions {
  readonly attributes?: Readonly<Record<string, unknown>> | undefined;
  readonly kind?: SpanKind | undefined;
  readonly links?: readonly Link[] | undefined;
}

/** The options of all these decorators in one form. @internal */
export interface MethodSpan {
  readonly name?: string | ((...args: unknown[]) => string) | undefined;
  readonly attributes?: Readonly<Record<string, unknown>> | ((...args: unknown[]) => Readonly<Record<string, unknown>>) | undefined;
  readonly resultAttributes?: ((result: unknown) => Readonly<Record<string, unknown>>) | undefined;
  readonly kind?: SpanKind | undefined;
  readonly root?: boolean | undefined;
  readonly links?: readonly Link[] | ((...args: unknown[]) => readonly Link[]) | undefined;
  /** Computes options from the arguments of a call. */
  readonly perCall?: ((...args: unknown[]) => CallSpanOptions) | undefined;
}

/** Data that calls of the method on instances of one class share. */
interface CallSite {
  readonly isHidden: boolean;
  readonly spanName: string;
  /** The method, as `Class.method`. */
  readonly code: string;
  readonly plan: Omit<SpanPlan, 'options'> & { readonly options: FinalSpanOptions };
}

/** Wraps a method that `target` declares: a prototype, or a class for static methods. @internal */
export function tracedMethod(target: object, method: string | symbol, original: Method, options: MethodSpan): Method {
  markSpanned(target, method);
  const sites = new WeakMap<object, CallSite>();
  const memory: ResultMemory = { isLazy: expectedLaziness(target, method, original) };
  const isPerCall = [options.name, options.attributes, options.links, options.perCall].some(option => typeof option === 'function');
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

  // Computed at the first call: all parameter decorators have run by then.
  let argumentAttributes: ReturnType<typeof spanAttributesOf> | null = null;

  return wrapMethod(original, function (this: unknown, ...args: unknown[]): unknown {
    const site = siteOf(this);
    if (site.isHidden) return original.apply(this, args);
    if (argumentAttributes === null) argumentAttributes = spanAttributesOf(target, method);
    if (!isPerCall && argumentAttributes === undefined) return runInSpan(site.spanName, site.plan, original, this, args);
    return runInSpan(nameOfCall(site, options, args), planOfCall(site, options, argumentAttributes, args), original, this, args);
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
    isHidden: isNoSpanDeclared(classRef, target, method),
    spanName: typeof options.name === 'string' && options.name !== '' ? options.name : code,
    code,
    plan: {
      isRoot: root,
      memory,
      options: {
        kind,
        attributes: { ...(typeof attributes === 'object' ? toAttributes(attributes) : undefined), ...codeAttributes(code) },
        areAttributesFinal: true,
        links: links === undefined || typeof links === 'function' ? undefined : [...links],
      },
      resultAttributes:
        resultAttributes && (result => attributesFrom(messages.spanOption('resultAttributes', code), () => resultAttributes(result))),
    },
  };
}

function nameOfCall(site: CallSite, { name }: MethodSpan, args: unknown[]): string | (() => string) {
  if (typeof name !== 'function') return site.spanName;
  return () => {
    const chosen: unknown = guarded(messages.spanOption('name', site.code), () => name(...args), site.spanName);
    return typeof chosen === 'string' && chosen !== '' ? chosen : site.spanName;
  };
}

/** Returns the plan of one call. Options that depend on its arguments are computed only if the span may record. */
function planOfCall(
  { code, plan }: CallSite,
  { attributes, links, perCall }: MethodSpan,
  argumentAttributes: ((args: readonly unknown[]) => Attributes) | undefined,
  args: unknown[],
): SpanPlan {
  const { options: fixed } = plan;
  const options = (): FinalSpanOptions => {
    const own = perCall === undefined ? undefined : guarded(messages.spanOption('options', code), () => perCall(...args), undefined);
    const added = typeof attributes === 'function' ? () => attributes(...args) : () => own?.attributes;
    const linked = typeof links === 'function' ? () => links(...args) : () => own?.links ?? fixed.links ?? [];
    return {
      kind: own?.kind ?? fixed.kind,
      attributes: {
        ...argumentAttributes?.(args),
        ...fixed.attributes,
        ...attributesFrom(messages.spanOption('attributes', code), added),
        ...codeAttributes(code),
      },
      areAttributesFinal: true,
      links: guarded(messages.spanOption('links', code), () => [...linked()], []),
    };
  };
  return { ...plan, options };
}

function attributesFrom(option: string, callback: () => Readonly<Record<string, unknown>> | undefined): Attributes | undefined {
  const chosen = guarded(option, callback, undefined);
  return chosen === undefined ? undefined : guarded(option, () => toAttributes(chosen), undefined);
}

/** Returns whether the method is declared to return a lazy result. Returns undefined if only a call can tell. */
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
