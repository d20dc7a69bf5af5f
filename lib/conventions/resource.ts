/** Resource attributes: service, host, operating system, process (semantic conventions for resources). */
import { arch, hostname, platform, release, userInfo } from 'node:os';
import { basename } from 'node:path';
import type { Attributes } from '@opentelemetry/api';

/** Returns `service.*` of one running application. */
export function serviceAttributes(name: string | undefined, version?: string, instanceId?: string): Attributes {
  return { 'service.name': name, 'service.version': version, 'service.instance.id': instanceId };
}

/** Returns the deployment environment: production, staging, … */
export function deploymentAttributes(environment: string | undefined): Attributes {
  return { 'deployment.environment.name': environment };
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm: 'arm32', ia32: 'x86', ppc: 'ppc32' };

/** Returns `host.*`. */
export function hostAttributes(): Attributes {
  return { 'host.name': hostname(), 'host.arch': ARCHITECTURES[arch()] ?? arch() };
}

const SYSTEMS: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' };

/** Returns `os.*`. */
export function osAttributes(): Attributes {
  return { 'os.type': SYSTEMS[platform()] ?? platform(), 'os.version': release() };
}

/** Returns `process.*`, without the arguments: they may contain passwords, so the conventions leave them out by default. */
export function processAttributes(): Attributes {
  const { argv, execPath, pid, versions } = process;
  return {
    'process.pid': pid,
    'process.executable.name': basename(execPath),
    'process.executable.path': execPath,
    'process.command': argv[1],
    'process.owner': owner(),
    'process.runtime.name': 'nodejs',
    'process.runtime.version': versions.node,
    'process.runtime.description': 'Node.js',
  };
}

function owner(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // In a container the user id may have no name.
    return undefined;
  }
}
