/** Tells the application's own classes from those of packages by the files in which they were defined. */
import { createRequire } from 'node:module';
import type { Session } from 'node:inspector';

/** The members of `node:inspector` that are used here. */
interface Inspector {
  readonly Session: new () => Session;
}

/** Where a class was defined. `framework`: in Nest's own packages that run the application, in RxJS, OpenTelemetry or this package. */
export type Origin = 'application' | 'package' | 'framework';

const OF_A_PACKAGE = /[\\/]node_modules[\\/]/;
const OF_THE_FRAMEWORK =
  /[\\/]node_modules[\\/](@nestjs[\\/](common|core|testing|microservices|websockets|platform-[^\\/]+)|@opentelemetry[\\/][^\\/]+|nestjs-tracing|rxjs)[\\/]/;

/** Where the inspector finds the classes: it sees no variables of this file. */
const LOOKED_AT = Symbol.for('nestjs-tracing/classes-looked-at');

const known = new WeakMap<Function, Origin>();

/** By the ids of scripts. */
const scripts = new Map<string, Origin>();

/**
 * Returns where a class was defined: in a package below node_modules, or by the application. V8 knows the file of each function, and its
 * inspector tells; nothing is paused or instrumented for that. Without inspector, only classes that CommonJS packages export are known. Call
 * {@link locate} with many classes first: one question costs as much as hundreds. @internal
 */
export function originOf(classRef: Function): Origin {
  if (!known.has(classRef)) locate([classRef]);
  return known.get(classRef) ?? 'application';
}

/** Finds the files of all these classes. Never throws. @internal */
export function locate(classes: Iterable<Function>): void {
  const unknown = [...classes].filter(classRef => !known.has(classRef));
  if (unknown.length === 0) return;
  try {
    const inspector = process.getBuiltinModule('node:inspector') as Inspector;
    const session = new inspector.Session();
    session.connect();
    try {
      ask(session, inspector, unknown);
    } finally {
      session.disconnect();
    }
  } catch {
    // Node was built without inspector, or its permissions forbid it.
    lookAtRequired(unknown);
  }
  for (const classRef of unknown) if (!known.has(classRef)) known.set(classRef, 'application');
}

function ask(session: Session, inspector: object, classes: readonly Function[]): void {
  const members = inspector as { [LOOKED_AT]?: readonly Function[] };
  members[LOOKED_AT] = classes;
  try {
    const list = evaluated(session);
    if (list === undefined) return;
    for (const { name, value } of propertiesOf(session, list).result) {
      const classRef = /^\d+$/.test(name) ? classes[Number(name)] : undefined;
      if (classRef === undefined || value?.objectId === undefined) continue;
      const { internalProperties = [] } = propertiesOf(session, value.objectId);
      const place: unknown = internalProperties.find(property => property.name === '[[FunctionLocation]]')?.value?.value;
      const script = (place as { readonly scriptId?: string } | undefined)?.scriptId;
      if (script === undefined) continue;
      if (!scripts.has(script)) listScripts(session);
      known.set(classRef, scripts.get(script) ?? 'application');
    }
  } finally {
    delete members[LOOKED_AT];
  }
}

interface Property {
  readonly name: string;
  readonly value?: { readonly objectId?: string; readonly value?: unknown };
}

interface Properties {
  readonly result: readonly Property[];
  readonly internalProperties?: readonly Property[];
}

/** Returns the inspector's id of the list of classes. The session answers before `post()` returns. */
function evaluated(session: Session): string | undefined {
  let found: string | undefined;
  const expression = `process.getBuiltinModule('node:inspector')[Symbol.for('${Symbol.keyFor(LOOKED_AT) ?? ''}')]`;
  session.post('Runtime.evaluate', { expression, silent: true }, (_error, answer) => (found = answer?.result.objectId));
  return found;
}

function propertiesOf(session: Session, objectId: string): Properties {
  let found: Properties = { result: [] };
  session.post('Runtime.getProperties', { objectId, ownProperties: true }, (_error, answer) => {
    if (answer !== undefined) found = answer;
  });
  return found;
}

/**
 * Reads the file names of all scripts. Of the ways to do so this is the fastest: it collects the counts that V8 keeps anyway. The profiler is
 * not enabled for it, because its end would also end the coverage that a test runner measures.
 */
function listScripts(session: Session): void {
  session.post('Profiler.getBestEffortCoverage', (_error, answer) => {
    for (const { scriptId, url } of answer?.result ?? []) scripts.set(scriptId, originOfFile(url));
  });
}

/** Looks for the classes in what CommonJS modules export. */
function lookAtRequired(classes: readonly Function[]): void {
  const wanted = new Set<unknown>(classes);
  const { cache } = createRequire(`${process.cwd()}/noop.js`) as {
    readonly cache: Readonly<Record<string, { exports?: unknown } | undefined>>;
  };
  for (const [file, module] of Object.entries(cache)) {
    const exported = module?.exports;
    if (!OF_A_PACKAGE.test(file) || typeof exported !== 'object' || exported === null) continue;
    for (const { value } of Object.values<PropertyDescriptor>(Object.getOwnPropertyDescriptors(exported))) {
      if (wanted.has(value)) known.set(value as Function, originOfFile(file));
    }
  }
}

function originOfFile(file: string): Origin {
  if (OF_THE_FRAMEWORK.test(file)) return 'framework';
  return OF_A_PACKAGE.test(file) ? 'package' : 'application';
}
