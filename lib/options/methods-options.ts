/** The option `methods`: which methods of providers get a span of their own. */

/** A method, as rules of {@link MethodsOptions} see it. @publicApi */
export interface TracedMethod {
  /** The class whose instance has the method. */
  readonly classRef: Function;
  readonly className: string;
  readonly method: string;
  /** The names of the modules that declare the class. */
  readonly modules: readonly string[];
}

/**
 * Selects methods: a class with its subclasses, a module with all its providers, the name of a class or of `Class.method` in which `*` stands
 * for any text, a RegExp that is matched against `Class.method`, or a function. @publicApi
 */
export type MethodRule = string | RegExp | Function | ((method: TracedMethod) => boolean);

/** Which methods get a span of their own. @publicApi */
export interface MethodsOptions {
  /** Methods that get a span. @default those of providers of your own modules, except of configuration and loggers */
  readonly of?: MethodRule | readonly MethodRule[];
  /** Methods that get no span. @default [] */
  readonly not?: MethodRule | readonly MethodRule[];
  /**
   * Whether guards, pipes, interceptors, filters, middleware and hooks of Fastify get a span, also those of packages. That of an interceptor
   * ends when it has returned; what it does with the result has a further span. @default true
   */
  readonly steps?: boolean;
  /**
   * Whether functions in fields of instances, and those of providers that are plain objects, get a span, too. They are replaced in each
   * object. @default false
   */
  readonly fields?: boolean;
  /**
   * A call that returns a value sooner, in milliseconds, and in which nothing else is traced gets no span. It is counted on the span around
   * it, as `nestjs.calls.<Class.method>.count` and `.duration_ms`. @default 0.1
   */
  readonly countBelowMs?: number;
}
