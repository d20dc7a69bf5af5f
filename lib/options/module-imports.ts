/** Detects two mistakes: imports of the module with different options, and several copies of this package. */
import type { Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { types } from 'node:util';
import { messages } from './messages.js';
import type { TracingOptions } from './tracing-options.js';
import { reportTrouble } from './trouble.js';
import { VERSION } from './version.js';

/** True if no option is set. @internal */
export function isEmpty(options: TracingOptions): boolean {
  return Object.values(options).every(value => value === undefined);
}

/**
 * True if two options are equal. Plain objects and lists are compared by content, RegExps by their text, everything else by identity.
 * @internal
 */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (types.isRegExp(one) && types.isRegExp(other)) return String(one) === String(other);
  if (!isPlain(one) || !isPlain(other) || Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].every(key => isSame(one[key], other[key]));
}

/** Returns the names of the modules that import `imported`, in Nest's order. @internal */
export function importersOf(modules: ModulesContainer, imported: Type): readonly string[] {
  const names: string[] = [];
  for (const module of modules.values()) {
    const { metatype, token } = module;
    const container = Reflect.get(module, 'container') as DynamicImports | undefined;
    const listed: unknown[] = [
      ...((Reflect.getMetadata('imports', metatype) as unknown[] | undefined) ?? []),
      ...(container?.getDynamicMetadataByToken?.(token, 'imports') ?? []),
    ];
    if (listed.some(entry => entry === imported || (entry as { module?: unknown } | null)?.module === imported)) names.push(metatype.name);
  }
  return names;
}

/** Nest stores the imports of a dynamic module in its container only. */
interface DynamicImports {
  getDynamicMetadataByToken?(token: string, key: 'imports'): unknown[];
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null;
}

const COPIES = Symbol.for('nestjs-tracing/copies');
/** Versions by file path. */
const copies: Map<string, string> = ((globalThis as { [COPIES]?: Map<string, string> })[COPIES] ??= new Map<string, string>());
copies.set(fileIn(new Error().stack), VERSION);

/** If the process has several copies of this package, logs once where they are. Nest treats their classes as different ones. @internal */
export function reportCopies(): void {
  if (copies.size < 2) return;
  const places = Array.from(copies, ([file, version]) => `${version} in ${file}`);
  reportTrouble('package-copies', messages.severalCopies(places));
}

/** Returns the file of the first stack frame. Only this way works in both ES modules and CommonJS. */
function fileIn(stack = ''): string {
  return (
    /(?:\(|at )((?:file:\/\/)?\/?[^()\s]+?):\d+:\d+\)?$/m.exec(stack)?.[1]?.replace(/^file:\/\/(?:\/(?=[A-Za-z]:))?/, '') ??
    'an unknown file'
  );
}
