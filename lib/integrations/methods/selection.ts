/** Decides which methods of an application are traced, by the options `methods.of` and `methods.not`. */
import type { RuledMethod } from '../../options/method-rules.js';
import type { ResolvedMethodsOptions } from '../../options/resolved-options.js';
import { nameOf } from '../../wrapping/class-of-call.js';
import { originOf } from './source-files.js';

/** Names of classes that only read configuration or write logs. */
const SUPPORTING = /(Config|Configuration|Logger)(Service)?$/;

export class Selection {
  /** The modules that declare each class. */
  private readonly declaredIn = new Map<Function, Set<Function>>();

  constructor(private readonly options: Pick<ResolvedMethodsOptions, 'of' | 'not'>) {}

  /** Notes that a module declares a provider of this class. */
  declare(classRef: Function, moduleClass: Function): void {
    const modules = this.declaredIn.get(classRef);
    if (modules === undefined) this.declaredIn.set(classRef, new Set([moduleClass]));
    else modules.add(moduleClass);
  }

  /** Returns true if methods that `declaring` declares may be traced at all, whatever their names are. */
  reaches(declaring: Function): boolean {
    if (isNative(declaring)) return false;
    const origin = originOf(declaring);
    return origin === 'application' || (origin === 'package' && this.options.of !== undefined);
  }

  /** Returns true if no rule forbids to trace the method. */
  allows(classRef: Function, method: string): boolean {
    return !this.isForbidden(this.ruled(classRef, method));
  }

  /** Returns true if calls of the method on instances of `classRef` are traced. */
  selects(classRef: Function, method: string): boolean {
    const { of } = this.options;
    const ruled = this.ruled(classRef, method);
    const { className, moduleClasses } = ruled;
    if (this.isForbidden(ruled)) return false;
    if (of !== undefined) return of.some(matches => matches(ruled));
    if (SUPPORTING.test(className) || isLogger(classRef)) return false;
    return moduleClasses.size === 0 || [...moduleClasses].some(isOfApplication);
  }

  private isForbidden(ruled: RuledMethod): boolean {
    return this.options.not.some(matches => matches(ruled));
  }

  private ruled(classRef: Function, method: string): RuledMethod {
    const moduleClasses = this.modulesOf(classRef);
    return { classRef, className: nameOf(classRef), method, moduleClasses, modules: [...moduleClasses].map(nameOf) };
  }

  /** Returns the modules of the class, or of the nearest class above it that a module declares. */
  private modulesOf(classRef: Function): ReadonlySet<Function> {
    for (let one: unknown = classRef; typeof one === 'function'; one = Object.getPrototypeOf(one)) {
      const modules = this.declaredIn.get(one);
      if (modules !== undefined) return modules;
    }
    return NO_MODULES;
  }
}

const NO_MODULES: ReadonlySet<Function> = new Set();

/** The module that `Test.createTestingModule()` makes of what a test gives it. */
const OF_A_TEST = 'RootTestModule';

function isOfApplication(moduleClass: Function): boolean {
  return originOf(moduleClass) === 'application' || nameOf(moduleClass) === OF_A_TEST;
}

/** Returns true for classes of the language and of Node, and for bound functions. */
function isNative(classRef: Function): boolean {
  return /\{\s*\[native code\]\s*\}\s*$/.test(Function.prototype.toString.call(classRef));
}

/** Returns true for implementations of Nest's `LoggerService`. */
function isLogger(classRef: Function): boolean {
  const prototype = classRef.prototype as object | undefined;
  return prototype !== undefined && ['log', 'error', 'warn'].every(name => name in prototype);
}
