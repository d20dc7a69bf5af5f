/** Creates the instrumentations that the application depends on, and sets hooks that show them the ES modules of their libraries. */
import module, { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messages } from '../options/messages.js';
import { applicationPackage } from '../sdk/application-package.js';
import { createEarly, earlyInstrumentations } from '../sdk/early-instrumentations.js';
import { patchedModules } from '../sdk/loaded-modules.js';

/** `@opentelemetry/instrumentation-pg`, `@traceloop/instrumentation-openai`, `opentelemetry-instrumentation-amqplib` … */
const INSTRUMENTATION = /(?:^|[/-])instrumentation-[^/]+$/;
const HOOKS = '@opentelemetry/instrumentation/hook.mjs';
/** Without a list of modules, all packages are hooked, but not the application's own modules. */
const PACKAGES = /\/node_modules\//;

/** Which modules the loader shows to instrumentations: names of built-in modules, files, and patterns of URLs. */
type Modules = readonly (string | RegExp)[];

/** The hooks that run in the application's thread. They need a newer Node and a newer version of the package. */
interface SyncHooks {
  supportsSyncHooks(): boolean;
  register(options: { include: Modules }): void;
}

/** Runs before the application is loaded. Never throws. @internal */
export function prepareInstrumentations(): void {
  if (process.env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return;
  const { folder = process.cwd(), dependencies = [] } = applicationPackage() ?? {};
  const application = createRequire(join(folder, 'noop.js'));
  const names = dependencies.filter(name => INSTRUMENTATION.test(name));
  for (const name of names) attempt(name, () => createEarly(application(name)));
  const files = new Set([undefined, ...names].map(name => hookFile(application, name)).filter(file => file !== undefined));
  if (files.size === 0) warn(messages.instrumentationMissing(folder));
  const include = wantedModules();
  for (const file of files) attempt(file, () => hookLoader(file, include));
}

/** Returns the modules that the early instrumentations patch. */
function wantedModules(): Modules {
  const names = new Set([...earlyInstrumentations.values()].flatMap(patchedModules));
  const packages = [...names].filter(name => !module.isBuiltin(name)).map(name => name.replace(/[^\w/@-]/g, '\\$&'));
  if (names.size === 0) return [PACKAGES, ...module.builtinModules];
  return [...names, new RegExp(`/node_modules/(?:${packages.join('|')})/`)];
}

/** Returns the file with the hooks, as the application or one of its packages finds it. Packages may have copies of their own. */
function hookFile(application: NodeJS.Require, name: string | undefined): string | undefined {
  try {
    const from = name === undefined ? application : createRequire(application.resolve(name));
    return from.resolve(HOOKS);
  } catch {
    return undefined;
  }
}

/** Sets the hooks in this thread if that is possible, because the other thread of the loader makes the start slower. */
function hookLoader(file: string, include: Modules): void {
  const hooks = syncHooks(file);
  if (hooks === undefined) module.register(pathToFileURL(file).href, { data: { include } });
  else hooks.register({ include });
}

function syncHooks(file: string): SyncHooks | undefined {
  if (!('registerHooks' in module)) return undefined;
  try {
    const hooks = createRequire(file)('import-in-the-middle/register-hooks.mjs') as SyncHooks;
    return hooks.supportsSyncHooks() ? hooks : undefined;
  } catch {
    return undefined;
  }
}

function attempt(name: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    warn(`${messages.notPrepared(name)} (${String(error)})`);
  }
}

/** Nest's Logger is not loaded yet. */
function warn(message: string): void {
  process.emitWarning(message, 'Tracing');
}
