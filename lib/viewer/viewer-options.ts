/** Options of the viewer: their defaults, their check, and that production has none unless it is asked for by name. */
import { reportTrouble } from '../local/trouble.js';
import { flag, number, objectOf, refuse } from '../tracing.checks.js';
import { messages } from '../tracing.messages.js';

/** How the viewer, the page that shows the traces of all services on this machine, is hosted. @publicApi */
export interface ViewerOptions {
  /** Where it listens on 127.0.0.1; all services that shall meet in it name the same. @default 4318 */
  readonly port?: number;
  /** Traces beyond it are forgotten, the one that has been silent longest first. @default 32 */
  readonly maxMemoryMb?: number;
  /** Whether it runs under `NODE_ENV=production` too. @default false */
  readonly inProduction?: boolean;
}

/** {@link ViewerOptions} of a viewer that is on, with every default filled in. @internal */
export interface ResolvedViewerOptions {
  readonly port: number;
  readonly maxBytes: number;
}

/** @internal */
export const DEFAULT_PORT = 4318;
/** @internal */
export const DEFAULT_MEMORY_MB = 32;
const MEGABYTE = 1_000_000;
const KNOWN = ['port', 'maxMemoryMb', 'inProduction'] as const satisfies readonly (keyof ViewerOptions)[];

/** `undefined` where there is to be no viewer. @internal */
export function resolveViewer(given: boolean | ViewerOptions | undefined, env: NodeJS.ProcessEnv): ResolvedViewerOptions | undefined {
  if (given === undefined || given === false) return undefined;
  if (given !== true && (typeof given !== 'object' || given === null)) refuse('viewer', given, 'true, false or an object');
  const options = given === true ? {} : objectOf('viewer', given, KNOWN);
  const port = number('viewer.port', options.port ?? DEFAULT_PORT, 1, 65_535);
  if (!Number.isInteger(port)) refuse('viewer.port', port, 'a whole number');
  const maxBytes = number('viewer.maxMemoryMb', options.maxMemoryMb ?? DEFAULT_MEMORY_MB, 1, 4096) * MEGABYTE;
  if (!flag('viewer.inProduction', options.inProduction, false) && env.NODE_ENV === 'production') {
    reportTrouble('viewer:production', messages.viewerOffInProduction());
    return undefined;
  }
  return { port, maxBytes };
}
