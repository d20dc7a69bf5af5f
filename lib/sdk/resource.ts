/** Builds the resource of the application. Code wins over the environment, and the environment over detected values. */
import { randomUUID } from 'node:crypto';
import type { Attributes } from '@opentelemetry/api';
import { defaultResource, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { deploymentAttributes, hostAttributes, osAttributes, processAttributes, serviceAttributes } from '../conventions/resource.js';
import { complain, readNames, readText } from '../options/environment.js';
import type { ResolvedTracingOptions } from '../options/resolved-options.js';
import { applicationPackage } from './application-package.js';

type Resource = ReturnType<typeof defaultResource>;
type Described = Pick<ResolvedTracingOptions, 'serviceName' | 'serviceVersion' | 'resource'>;

const DETECTORS = ['env', 'host', 'os', 'process', 'serviceinstance', 'all', 'none'] as const;
const UNKNOWN_SERVICE = 'unknown_service:node';

/** Returns the resource. It is synchronous, because an asynchronous resource would delay every export. @internal */
export function describeResource(options: Described, env: NodeJS.ProcessEnv): Resource {
  const asked = readNames(env, 'OTEL_NODE_RESOURCE_DETECTORS', DETECTORS, '"all"') ?? ['all'];
  const wants = (detector: (typeof DETECTORS)[number]) => asked.includes('all') || asked.includes(detector);
  const found = applicationPackage();
  const detected: Attributes = {
    ...(wants('host') && hostAttributes()),
    ...(wants('os') && osAttributes()),
    ...(wants('process') && processAttributes()),
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

/** Reads `OTEL_RESOURCE_ATTRIBUTES`. One invalid pair makes the whole variable invalid, as the specification demands. */
function environmentAttributes(env: NodeJS.ProcessEnv): Attributes {
  const attributes = envDetector.detect().attributes as Attributes;
  const text = readText(env, 'OTEL_RESOURCE_ATTRIBUTES');
  if (text !== undefined && Object.keys(attributes).length <= (readText(env, 'OTEL_SERVICE_NAME') === undefined ? 0 : 1)) {
    complain('OTEL_RESOURCE_ATTRIBUTES', text, '"key=value" pairs with "," and "=" percent-encoded in values', 'no attribute of it');
  }
  return attributes;
}
