/** A real Zipkin: its server's jar from Maven Central, fetched once, checked, and run with its storage in memory. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Found } from '../foreign/found.js';
import { Program } from '../../sample/runner/program.js';
import { CACHE } from '../foreign/toolchains.js';

/** The slim one: the same server without the storages that need a database. */
const FILE = 'zipkin-server-3.6.1-slim.jar';
const FOLDER = 'io/zipkin/zipkin-server/3.6.1';
const SHA256 = '981b1de6139b4f8f787a909c308028732f9713ae5284353d2a5aa404d1094775';
const REPOSITORY = process.env.MAVEN_REPOSITORY_URL ?? 'https://repo1.maven.org/maven2';
const DOWNLOAD_TIMEOUT_MS = 180_000;

/** The path of the jar. */
export async function zipkinJar(): Promise<Found<string>> {
  const java = await Program.run({ command: 'java', args: ['-version'] }, 30_000);
  if (java.code !== 0) return { missing: 'Java is not on this machine' };
  const jar = join(CACHE, FILE);
  if (existsSync(jar) && isTheOne(readFileSync(jar))) return { thing: jar };
  let content: Buffer;
  try {
    const answer = await fetch(`${REPOSITORY}/${FOLDER}/${FILE}`, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) });
    if (!answer.ok) return { missing: `Zipkin's server cannot be fetched: the Maven repository answered ${answer.status}` };
    content = Buffer.from(await answer.arrayBuffer());
  } catch (error) {
    return {
      missing: `Zipkin's server cannot be fetched: ${String((error as Error).cause ?? error)}; MAVEN_REPOSITORY_URL names another source`,
    };
  }
  if (!isTheOne(content)) throw new Error(`${FILE} is not the file that it was: its SHA-256 differs.`);
  mkdirSync(dirname(jar), { recursive: true });
  writeFileSync(`${jar}.part`, content);
  renameSync(`${jar}.part`, jar);
  return { thing: jar };
}

function isTheOne(content: Buffer): boolean {
  return createHash('sha256').update(content).digest('hex') === SHA256;
}

/** The running server; what it `found` is its address. */
export function startZipkin(jar: string): Promise<Program> {
  const port = { ip: '127.0.0.1', port: '0', 'protocols[0]': 'http' };
  const settings = Object.entries(port).map(([name, value]) => `--armeria.ports[0].${name}=${value}`);
  // The first compiler alone: it starts in half the time.
  const args = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-jar', jar, '--zipkin.storage.type=mem', ...settings];
  return Program.start({ command: 'java', args }, /Serving HTTP .*(http:\/\/127\.0\.0\.1:\d+)/);
}
