/** The version and the instrumentation scope of this package. */

/** The version of this package. A spec compares it with package.json. */
export const VERSION = '0.1.0';

/** The arguments of `getTracer()`: name, version, and the version of the semantic conventions that this package follows. @internal */
export const SCOPE = ['nestjs-tracing', VERSION, { schemaUrl: 'https://opentelemetry.io/schemas/1.45.0' }] as const;
