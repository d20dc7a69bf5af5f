/** The version of this package, as the instrumentation scope of its spans carries it; a spec holds it equal to package.json. */
export const VERSION = '0.1.0';
