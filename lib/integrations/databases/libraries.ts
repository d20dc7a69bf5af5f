/** All database libraries, and how an object of one of them is found and traced. */
import { types } from 'node:util';
import { type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { ioredis } from './redis/ioredis.js';
import { leadingLibraries } from './leading-libraries.js';
import type { DatabaseLibrary } from './library.js';
import { mongodb } from './mongodb/mongodb.js';
import { mssql } from './mssql.js';
import { mysql2 } from './mysql2.js';
import { pg } from './pg.js';
import { redis } from './redis/node-redis.js';
import { sequelize } from './sequelize.js';
import { sqlite } from './sqlite.js';
import { typeorm } from './typeorm.js';

/** For a new library, add a file beside this one and a line here. The first one that finds an object traces it. */
const libraries: readonly DatabaseLibrary[] = [pg, mongodb, mysql2, mssql, sequelize, ioredis, typeorm, ...leadingLibraries, sqlite, redis];

/** An object of a library that can be traced. */
interface Traceable {
  readonly library: DatabaseLibrary;
  readonly target: object;
}

/** Returns the object to trace: `value` itself, or one that it holds. Returns undefined if no library knows it. */
export function traceableIn(value: unknown): Traceable | undefined {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  if (!isObject || types.isProxy(value)) return undefined;
  for (const library of libraries) {
    const target = library.find?.(value);
    if (target !== undefined) return { library, target };
  }
  return undefined;
}

const TRACED = Symbol.for('nestjs-tracing/database');

/** Traces an object once, even for several applications and copies of this package. Returns how to undo it. */
export function installOn({ library, target }: Traceable): Undo {
  return installOnce(target, TRACED, () => library.install?.(target, traceObject) ?? (() => undefined));
}

function traceObject(value: unknown): Undo {
  const traceable = traceableIn(value);
  return traceable === undefined ? () => undefined : installOn(traceable);
}

const LISTENING = Symbol.for('nestjs-tracing/database-channels');

/** Listens to the channels of the libraries that have any, once for all applications. Returns how to undo it. */
export function listenToChannels(): Undo {
  return installOnce(globalThis, LISTENING, () => undoAll(libraries.flatMap(library => library.listen?.() ?? [])));
}
