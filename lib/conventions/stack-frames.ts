/** Reads the lines of a stack: which frame is in the user's own code, and where. */

/** @internal */
export interface StackFrame {
  /** Empty at the top level of a file. */
  readonly functionName: string;
  /** `path:line:column`. */
  readonly location: string;
}

const FRAME = /^\s+at (?:async )?(?:(.+?) \((.+)\)|(.+))$/;
/** A path, then line and column. Frames of built-in functions have none: `Promise.all (index 0)`. */
const PLACE = /^(.+?):(\d+)(?::\d+)?$/;
const MAX_LINE = 2000;
/**
 * Packages, Node, and this package where it is linked from another folder. Code that was given to `eval()` is in no file: the frame that
 * called it comes next.
 */
const FOREIGN = /node_modules|^node:|^internal\/|^eval at |\/nestjs-tracing(?:-[\w-]{8}\.js|\/dist\/)/;
/** With `--enable-source-maps`, the files of TypeORM seem to be in `src/` of the application. */
const OF_TYPEORM =
  /\/src\/(?:(?:driver|query-builder|query-runner|entity-manager|persistence|data-source|error)\/(?:[\w-]+\/)*[A-Z]\w*|repository\/(?:Base|Tree)?(?:Repository|Entity))\.ts:/;

/** Whether a line of a stack is a frame in the user's own code. @internal */
export function isUserFrame(line: string): boolean {
  return userFrame(line) !== undefined;
}

/** Returns the first frame in the user's own code. Returns undefined if there is none. @internal */
export function firstUserFrame(stack: string): StackFrame | undefined {
  for (const line of stack.split('\n')) {
    const frame = userFrame(line);
    if (frame !== undefined) return frame;
  }
  return undefined;
}

function userFrame(line: string): StackFrame | undefined {
  if (line.length > MAX_LINE) return undefined;
  const [, functionName = '', inside, alone = ''] = FRAME.exec(line) ?? [];
  const location = (inside ?? alone).replace(/^file:\/\/(\/(?=[A-Za-z]:))?/, '');
  return !PLACE.test(location) || FOREIGN.test(location) || OF_TYPEORM.test(location) ? undefined : { functionName, location };
}

/** The file and the line of a frame. @internal */
export interface CodePlace {
  readonly path: string;
  readonly line: number;
}

/**
 * Returns where an error was thrown: the first frame in the user's own code. Node writes the original places into stacks, if source maps are
 * enabled. `message` may contain lines that look like frames. @internal
 */
export function thrownAt(stack: string, message: string): CodePlace | undefined {
  const start = message === '' ? -1 : stack.indexOf(message);
  const frame = firstUserFrame(start < 0 ? stack : stack.slice(start + message.length));
  const [, path, line] = PLACE.exec(frame?.location ?? '') ?? [];
  return path === undefined ? undefined : { path: decoded(path), line: Number(line) };
}

/** Paths of ES modules are written like those of URLs. */
function decoded(path: string): string {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
