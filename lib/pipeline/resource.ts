/** Describes the application that the spans come from: code wins over the environment, it over what can be found out here. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { arch, hostname, platform, release, userInfo } from 'node:os';
import { dirname, join, sep } from 'node:path';
import type { Attributes } from '@opentelemetry/api';
import { defaultResource, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { deploymentAttributes, hostAttributes, osAttributes, processAttributes, serviceAttributes } from '../conventions/resource.js';
import { complain, readNames, readText } from '../tracing.environment.js';
import type { ResolvedTracingOptions } from '../tracing.resolution.js';

type Resource = ReturnType<typeof defaultResource>;
type Described = Pick<ResolvedTracingOptions, 'serviceName' | 'serviceVersion' | 'resource'>;

const DETECTORS = ['env', 'host', 'os', 'process', 'serviceinstance', 'all', 'none'] as const;
const UNKNOWN_SERVICE = 'unknown_service:node';

/** Nothing here waits: a resource that comes later would hold back every export. @internal */
export function describeResource(options: Described, env: NodeJS.ProcessEnv): Resource {
  const asked = readNames(env, 'OTEL_NODE_RESOURCE_DETECTORS', DETECTORS) ?? ['all'];
  const wants = (detector: (typeof DETECTORS)[number]) => asked.includes('all') || asked.includes(detector);
  const found = applicationPackage();
  const detected: Attributes = {
    ...(wants('host') && hostAttributes(hostname(), arch())),
    ...(wants('os') && osAttributes(platform(), release())),
    ...(wants('process') && processAttributes(process, process.argv[1], owner())),
    ...deploymentAttributes(readText(env, 'NODE_ENV')),
    ...serviceAttributes(found?.name ?? UNKNOWN_SERVICE, found?.version, wants('serviceinstance') ? randomUUID() : undefined),
  };
  const layers = [
    detected,
    wants('env') ? environmentAttributes(env) : {},
    serviceAttributes(readText(env, 'OTEL_SERVICE_NAME')),
    options.resource,
    serviceAttributes(options.serviceName, options.serviceVersion),
  ];
  return layers.reduce<Resource>((resource, attributes) => resource.merge(resourceFromAttributes(attributes)), defaultResource());
}

/** `OTEL_RESOURCE_ATTRIBUTES`; one bad pair voids the whole variable, as the specification wants it. */
function environmentAttributes(env: NodeJS.ProcessEnv): Attributes {
  const attributes = envDetector.detect().attributes as Attributes;
  const text = readText(env, 'OTEL_RESOURCE_ATTRIBUTES');
  if (text !== undefined && Object.keys(attributes).length <= (readText(env, 'OTEL_SERVICE_NAME') === undefined ? 0 : 1)) {
    complain('OTEL_RESOURCE_ATTRIBUTES', text, '"key=value" pairs with "," and "=" percent-encoded in values', 'none of them');
  }
  return attributes;
}

function owner(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a user id that has no name.
    return undefined;
  }
}

/** The nearest package.json with a name: above the main script, else above the working directory. */
function applicationPackage(): { name: string; version: string | undefined } | undefined {
  const main = process.argv[1];
  // A main script among the installed packages is a tool that runs the application: a test runner, a process manager.
  const isTool = main === undefined || main.includes(`${sep}node_modules${sep}`);
  return (isTool ? undefined : packageAbove(dirname(main))) ?? packageAbove(process.cwd());
}

function packageAbove(folder: string): { name: string; version: string | undefined } | undefined {
  const found = readPackage(join(folder, 'package.json'));
  if (found !== undefined) return found;
  const parent = dirname(folder);
  return parent === folder ? undefined : packageAbove(parent);
}

function readPackage(file: string): { name: string; version: string | undefined } | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
    if (typeof name !== 'string' || name === '') return undefined;
    return { name, version: typeof version === 'string' ? version : undefined };
  } catch {
    return undefined;
  }
}
