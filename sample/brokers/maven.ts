/** Downloads programs from Maven Central, each once, into node_modules, where the repository's tools do not look. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { reasonIn } from '../runner/program.js';
import { reasonWithout } from './broker.js';

const FETCH_TIMEOUT_MS = 300_000;

interface Dependency {
  readonly group: string;
  readonly artifact: string;
  readonly version: string;
  /** A dependency in the same group that Maven Central does not have. */
  readonly without?: string;
}

interface Jars {
  /** The value for Java's `-cp`. */
  readonly classes: string;
  /** Downloads the jars if necessary. Returns the reason why they cannot be run here, or undefined. */
  missing(): string | undefined;
}

export function jarsOf(name: string, version: string, dependencies: readonly Dependency[]): Jars {
  const jars = join(process.cwd(), `node_modules/.cache/nestjs-tracing-brokers/${name}-${version}`);
  return {
    classes: join(jars, '*'),
    missing: () => reasonWithout('java') ?? reasonWithout('mvn') ?? fetchJars(name, jars, dependencies),
  };
}

/** Another process may download the same jars at the same time. The first one wins. */
function fetchJars(name: string, jars: string, dependencies: readonly Dependency[]): string | undefined {
  if (existsSync(jars)) return undefined;
  process.stderr.write(`The jars of ${name} are fetched from Maven Central, once.\n`);
  mkdirSync(dirname(jars), { recursive: true });
  const folder = mkdtempSync(`${jars}.part-`);
  try {
    writeFileSync(join(folder, 'pom.xml'), project(dependencies));
    const args = ['-q', '-B', '-f', folder, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}/jars`];
    const { status, stdout, stderr } = spawnSync('mvn', args, { encoding: 'utf8', timeout: FETCH_TIMEOUT_MS });
    if (status !== 0)
      return `the jars of ${name} cannot be fetched: ${reasonIn(stdout + stderr)}; MAVEN_REPOSITORY_URL names another source`;
    if (!existsSync(jars)) renameSync(join(folder, 'jars'), jars);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function project(dependencies: readonly Dependency[]): string {
  const url = process.env['MAVEN_REPOSITORY_URL'];
  const repository = url === undefined ? '' : `<repositories><repository><id>central</id><url>${url}</url></repository></repositories>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
    <groupId>nestjs-tracing</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>${repository}
    <dependencies>${dependencies.map(dependencyElement).join('')}</dependencies>
  </project>`;
}

function dependencyElement({ group, artifact, version, without }: Dependency): string {
  const exclusion = `<exclusion><groupId>${group}</groupId><artifactId>${without}</artifactId></exclusion>`;
  const exclusions = without === undefined ? '' : `<exclusions>${exclusion}</exclusions>`;
  return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>${exclusions}</dependency>`;
}
