/** What the process behind the spans is called (semantic conventions for resources): service, host, operating system, process. */
import type { Attributes } from '@opentelemetry/api';

/** `service.*` of one running application. */
export function serviceAttributes(name: string | undefined, version?: string, instanceId?: string): Attributes {
  return { 'service.name': name, 'service.version': version, 'service.instance.id': instanceId };
}

/** Where it is deployed: production, staging, … */
export function deploymentAttributes(environment: string | undefined): Attributes {
  return { 'deployment.environment.name': environment };
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm: 'arm32', ia32: 'x86', ppc: 'ppc32' };

/** `host.*`, from Node's `os.hostname()` and `os.arch()`. */
export function hostAttributes(name: string, arch: string): Attributes {
  return { 'host.name': name, 'host.arch': ARCHITECTURES[arch] ?? arch };
}

const SYSTEMS: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' };

/** `os.*`, from Node's `os.platform()` and `os.release()`. */
export function osAttributes(platform: string, release: string): Attributes {
  return { 'os.type': SYSTEMS[platform] ?? platform, 'os.version': release };
}

/** `process.*`. Without its arguments, for that is where passwords are passed: the conventions do not want them by default. */
export function processAttributes(
  { pid, execPath, versions }: Pick<NodeJS.Process, 'pid' | 'execPath' | 'versions'>,
  mainScript: string | undefined,
  owner: string | undefined,
): Attributes {
  return {
    'process.pid': pid,
    'process.executable.name': execPath.slice(Math.max(execPath.lastIndexOf('/'), execPath.lastIndexOf('\\')) + 1),
    'process.executable.path': execPath,
    'process.command': mainScript,
    'process.owner': owner,
    'process.runtime.name': 'nodejs',
    'process.runtime.version': versions.node,
    'process.runtime.description': 'Node.js',
  };
}
