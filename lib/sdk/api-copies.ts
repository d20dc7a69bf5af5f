/**
 * Finds other copies of `@opentelemetry/api` in the process. Since 1.10 the package has one build for ES modules and one for CommonJS, each
 * with its own state. A library may also install another version.
 */
import { readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { trace, type TracerProvider } from '@opentelemetry/api';
import { reportTrouble } from '../options/trouble.js';
import { messages } from '../options/messages.js';
import { type ApplicationPackage, applicationPackage } from './application-package.js';

/** The provider that a copy of the API returns before a real provider is registered. @internal */
export interface EarlyProvider {
  setDelegate(provider: TracerProvider | undefined): void;
}

interface ApiCopy {
  readonly folder: string;
  readonly version: string;
  readonly trace: typeof trace;
  /** The packages that required it, as far as Node knows. */
  readonly usedBy: ReadonlySet<string>;
}

interface LoadedModule {
  readonly exports?: unknown;
  readonly children?: readonly unknown[];
}

const ENTRY_POINT = /^(.*[\\/]@opentelemetry[\\/]api)[\\/](?:build[\\/]src|dist)[\\/]index\.c?js$/;
/** OpenTelemetry's packages use it only for code that touches no span. */
const HARMLESS = '@opentelemetry/api-logs';

/**
 * Returns the providers that other copies of the API have returned so far. The caller must give them the registered provider. Call this
 * before the registration: afterwards most copies return the registered provider. @internal
 */
export function earlyProviders(): EarlyProvider[] {
  const providers = loadedCopies()
    .filter(copy => copy.trace !== trace)
    .map(copy => copy.trace.getTracerProvider() as TracerProvider & Partial<EarlyProvider>);
  return providers.filter((provider): provider is TracerProvider & EarlyProvider => typeof provider.setDelegate === 'function');
}

/** Logs which packages use a copy of the API that cannot see the registrations of API `version`. @internal */
export function reportUnseenCopies(version: string | undefined): void {
  if (version === undefined) return;
  const loaded = loadedCopies();
  const application = applicationPackage();
  const users = new Map<string, { version: string; names: Set<string> }>();
  const note = (folder: string, found: string, names: Iterable<string>) => {
    if (canUse(found, version)) return;
    const known = users.get(folder) ?? { version: found, names: new Set() };
    users.set(folder, known);
    for (const name of names) known.names.add(name);
  };
  for (const { folder, version: found, usedBy } of loaded) {
    if (usedBy.size !== 1 || !usedBy.has(HARMLESS)) note(folder, found, usedBy);
  }
  for (const [name, folder] of application === undefined ? [] : copiesOfDependencies(application)) note(folder, versionIn(folder), [name]);
  const ownFolder = application && folderSeenFrom(application.folder);
  const registering =
    loaded.find(copy => copy.version === version)?.folder ?? (ownFolder && versionIn(ownFolder) === version ? ownFolder : undefined);
  for (const [folder, { version: found, names }] of users) {
    const copy = { version: found, folder, usedBy: [...names] };
    reportTrouble(`api-copy:${folder}`, messages.apiCopyUnseen(copy, { version, folder: registering }));
  }
}

/** Returns the copies that Node has loaded as CommonJS. Node keeps no list of ES modules. */
function loadedCopies(): ApiCopy[] {
  try {
    const modules = Object.entries(createRequire(join(process.cwd(), 'noop.js')).cache as Record<string, LoadedModule | undefined>);
    return modules.flatMap(([path, module]) => {
      const folder = ENTRY_POINT.exec(path)?.[1];
      const exported = module?.exports as { trace?: typeof trace } | undefined;
      if (folder === undefined || typeof exported?.trace?.getTracerProvider !== 'function') return [];
      const usedBy = modules.flatMap(([user, { children } = {}]) => (children?.includes(module) ? [packageOf(user)] : []));
      return [{ folder, version: versionIn(folder), trace: exported.trace, usedBy: new Set(usedBy.filter(name => name !== undefined)) }];
    });
  } catch {
    // Test runners have their own module cache. Reading it may fail.
    return [];
  }
}

/** Yields each package that the application depends on and the copy that it resolves. ES modules can only be found this way. */
function* copiesOfDependencies({ folder, dependencies }: ApplicationPackage): Generator<[string, string]> {
  for (const name of dependencies) {
    const copy = name.startsWith('@opentelemetry/') ? undefined : folderSeenFrom(join(folder, 'node_modules', name));
    if (copy !== undefined) yield [name, copy];
  }
  const own = folderSeenFrom(folder);
  if (own !== undefined) yield ['the application', own];
}

function folderSeenFrom(folder: string): string | undefined {
  try {
    return ENTRY_POINT.exec(createRequire(join(realpathSync(folder), 'noop.js')).resolve('@opentelemetry/api'))?.[1];
  } catch {
    return undefined;
  }
}

function packageOf(path: string): string | undefined {
  return /.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(path)?.[1]?.replace('\\', '/');
}

function versionIn(folder: string): string {
  try {
    return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
  } catch {
    return 'of an unknown version';
  }
}

/** True if a copy of `version` can use the registrations of `registered`. The API refuses registrations of an older minor version. */
function canUse(version: string, registered: string): boolean {
  const [major, minor] = version.split('.').map(Number);
  const [otherMajor, otherMinor] = registered.split('.').map(Number);
  if (major === undefined || minor === undefined || Number.isNaN(minor)) return true;
  return major === otherMajor && otherMinor !== undefined && minor <= otherMinor;
}
