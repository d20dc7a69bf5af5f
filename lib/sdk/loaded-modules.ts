/** Hands an instrumentation the modules that are loaded already. OpenTelemetry tells it only of modules that are required later. */
import { createRequire, isBuiltin } from 'node:module';
import { join, normalize, relative, sep } from 'node:path';

/** A module, or a file of it, that an instrumentation patches. */
interface Target {
  readonly name: string;
  readonly patch?: unknown;
  /** What was patched last. */
  readonly moduleExports?: unknown;
}

interface Definition extends Target {
  readonly files?: readonly Target[];
}

/** The members of OpenTelemetry's class InstrumentationBase that are used here. Other instrumentations need no modules. */
interface Patching {
  readonly _modules?: readonly Definition[];
  _onRequire?(definition: Definition, exports: unknown, name: string, folder: string | undefined): unknown;
}

interface LoadedModule {
  exports?: unknown;
  readonly loaded?: boolean;
}

const PACKAGE = /^(.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+))[\\/]/;

/** Patches loaded CommonJS modules and built-in ones, except those that the instrumentation has seen. May throw. @internal */
export function patchLoadedModules(instrumentation: object): void {
  const { _modules: definitions } = instrumentation as Patching;
  if (!Array.isArray(definitions) || typeof (instrumentation as Patching)._onRequire !== 'function') return;
  const patch = (...args: [Definition, unknown, string, string | undefined]) => (instrumentation as Patching)._onRequire?.(...args);
  const unseen = (definitions as readonly Definition[]).map(definition => ({ definition, targets: unseenTargets(definition) }));
  const require = createRequire(join(process.cwd(), 'noop.js'));
  for (const { definition, targets } of unseen) {
    if (targets.has(definition.name) && isBuiltin(definition.name)) patch(definition, require(definition.name), definition.name, undefined);
  }
  for (const [file, module] of Object.entries(require.cache as Record<string, LoadedModule | undefined>)) {
    const [, folder, name] = PACKAGE.exec(file) ?? [];
    if (module?.loaded !== true || folder === undefined || name === undefined) continue;
    const wanted = unseen.filter(({ definition, targets }) => targets.size > 0 && definition.name === name.replace('\\', '/'));
    if (wanted.length === 0) continue;
    const path = isMainFile(file, name, folder) ? name : join(name, relative(folder, file));
    for (const { definition, targets } of wanted) {
      if (!targets.has(path)) continue;
      const patched = patch(definition, module.exports, path, folder);
      // An instrumentation may return something else in place of the exports. Who requires the module later gets that.
      if (patched !== undefined && patched !== module.exports) module.exports = patched;
    }
  }
}

/** Returns the names of the modules that an instrumentation patches. @internal */
export function patchedModules(instrumentation: object): readonly string[] {
  const { _modules: definitions } = instrumentation as Patching;
  return Array.isArray(definitions) ? (definitions as readonly Definition[]).map(({ name }) => name) : [];
}

/** Returns the names of the module and the files of a definition that were not patched yet. */
function unseenTargets(definition: Definition): ReadonlySet<string> {
  const targets = [...(typeof definition.patch === 'function' ? [definition] : []), ...(definition.files ?? [])];
  const seen = new Set(targets.filter(({ moduleExports }) => moduleExports !== undefined).map(({ name }) => normalize(name)));
  return new Set(targets.map(({ name }) => normalize(name)).filter(name => !seen.has(name)));
}

const mainFiles = new Map<string, string | undefined>();

/** True if the file is what `require(name)` gives. */
function isMainFile(file: string, name: string, folder: string): boolean {
  if (!mainFiles.has(folder)) mainFiles.set(folder, mainFileOf(name, folder));
  return mainFiles.get(folder) === file;
}

function mainFileOf(name: string, folder: string): string | undefined {
  try {
    return createRequire(join(folder, 'noop.js')).resolve(name.split(sep).join('/'));
  } catch {
    return undefined;
  }
}
