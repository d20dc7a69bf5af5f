/** Finds the name and version of the running application in package.json and nest-cli.json. */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** The application as its files describe it. @internal */
export interface ApplicationPackage {
  readonly name: string;
  readonly version: string | undefined;
  readonly folder: string;
  readonly dependencies: readonly string[];
}

/** Application folders of monorepos. */
const WORKSPACES: ReadonlySet<string> = new Set(['apps', 'services']);

/** Returns the application of the nearest files above the main script, else above the working directory. @internal */
export function applicationPackage(): ApplicationPackage | undefined {
  const main = process.argv[1];
  // A main script in node_modules is a tool that runs the application, such as a test runner or process manager.
  const isTool = main === undefined || main.includes(`${sep}node_modules${sep}`);
  return (isTool ? undefined : applicationAbove(dirname(main), main)) ?? applicationAbove(process.cwd());
}

/** Uses the nearest package.json with a name. In a monorepo with one package.json, `main` tells which application it is. */
function applicationAbove(folder: string, main?: string): ApplicationPackage | undefined {
  const found = readJson(join(folder, 'package.json'));
  const name = nonEmpty(found?.name);
  const steps = main === undefined ? [] : relative(folder, main).split(sep);
  const application = nestProject(folder, steps) ?? (name === undefined ? undefined : (workspaceFolder(steps) ?? name));
  if (application !== undefined) {
    return { name: application, version: nonEmpty(found?.version), folder, dependencies: Object.keys(found?.dependencies ?? {}) };
  }
  const parent = dirname(folder);
  return parent === folder ? undefined : applicationAbove(parent, main);
}

/**
 * Returns the application of nest-cli.json whose `root` is part of the path of the main script. The path may be in the sources or in the
 * build output.
 */
function nestProject(folder: string, steps: readonly string[]): string | undefined {
  const projects = readJson(join(folder, 'nest-cli.json'))?.projects;
  if (typeof projects !== 'object' || projects === null) return undefined;
  const path = `/${steps.join('/')}/`;
  for (const [name, project] of Object.entries(projects as Record<string, { root?: unknown; type?: unknown } | null>)) {
    const root = nonEmpty(project?.root)?.replace(/^[./]+|[/]+$/g, '');
    if (root && project?.type !== 'library' && path.includes(`/${root}/`)) return name;
  }
  return undefined;
}

/** Returns `orders` for `dist/apps/orders/main.js`. Container images often have no nest-cli.json. */
function workspaceFolder(steps: readonly string[]): string | undefined {
  const position = steps.findIndex(step => WORKSPACES.has(step));
  const isOutside = steps[0] === '..';
  // The main script must be below the folder of the application.
  return position < 0 || isOutside || position + 2 >= steps.length ? undefined : steps[position + 1];
}

function readJson(file: string): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof content === 'object' && content !== null ? (content as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function nonEmpty(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
