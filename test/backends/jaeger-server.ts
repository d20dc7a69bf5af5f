/** A real Jaeger: its all-in-one, built from the Go module where that is asked for, and run with its storage in memory. */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Found } from '../foreign/found.js';
import { Program, reasonIn } from '../../sample/runner/program.js';
import { CACHE } from '../foreign/toolchains.js';
import { freePort } from '../../sample/runner/free-ports.js';

const MODULE = 'github.com/jaegertracing/jaeger@v1.76.0';
/** Of the module as the checksum database has it; its go.sum vouches for the rest. */
const SUM = 'h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g=';
const FETCH_TIMEOUT_MS = 300_000;
const BUILD_TIMEOUT_MS = 1_200_000;

/** The path of the binary. */
export async function jaegerBinary(): Promise<Found<string>> {
  const binary = join(CACHE, `jaeger-v1.76.0${process.platform === 'win32' ? '.exe' : ''}`);
  if (existsSync(binary)) return { thing: binary };
  if (!process.env.TEST_JAEGER) return { missing: 'building it takes minutes; TEST_JAEGER=1 asks for it' };
  const version = await Program.run({ command: 'go', args: ['version'] }, 30_000);
  if (version.code !== 0) return { missing: 'Go is not on this machine' };
  const fetched = await Program.run({ command: 'go', args: ['mod', 'download', '-json', MODULE] }, FETCH_TIMEOUT_MS);
  if (fetched.code !== 0) return { missing: `the Go module cannot be fetched: ${reasonIn(fetched.output)}` };
  const { Dir: cwd, Sum } = JSON.parse(fetched.stdout) as { Dir: string; Sum: string };
  if (Sum !== SUM) throw new Error(`${MODULE} is not the module that it was: its checksum is ${Sum}.`);
  const packages = ['list', '-mod=readonly', '-deps', './cmd/all-in-one'];
  const others = await Program.run({ command: 'go', args: packages, cwd }, FETCH_TIMEOUT_MS);
  if (others.code !== 0) return { missing: `the Go modules cannot be fetched: ${reasonIn(others.output)}` };
  // One package at a time, or it takes all memory and cores of a small machine.
  const build = ['build', '-p', '1', '-mod=readonly', '-buildvcs=false', '-trimpath', '-ldflags=-s -w', '-o', `${binary}.part`];
  const built = await Program.run({ command: 'go', args: [...build, './cmd/all-in-one'], cwd }, BUILD_TIMEOUT_MS);
  if (built.code !== 0) throw new Error(`${MODULE} cannot be built:\n${built.output.slice(-4000)}`);
  renameSync(`${binary}.part`, binary);
  return { thing: binary };
}

export interface RunningJaeger {
  /** Where it takes OTLP over HTTP. */
  readonly otlp: string;
  /** Where it answers questions. */
  readonly query: string;
  stop(): Promise<void>;
}

export async function startJaeger(command: string): Promise<RunningJaeger> {
  const [otlp, query] = [await freePort(), await freePort()];
  const ports = {
    'collector.otlp.http': otlp,
    'query.http-server': query,
    'collector.otlp.grpc': 0,
    'collector.grpc-server': 0,
    'collector.http-server': 0,
    'query.grpc-server': 0,
    'admin.http': 0,
  };
  const args = Object.entries(ports).map(([server, port]) => `--${server}.host-port=127.0.0.1:${port}`);
  const program = await Program.start(
    { command, args, env: { SPAN_STORAGE_TYPE: 'memory' } },
    /"msg":"(Health Check state change)".*"ready"/,
  );
  // Asked to end it takes its time, and there is nothing that it could lose.
  return { otlp: `http://127.0.0.1:${otlp}`, query: `http://127.0.0.1:${query}`, stop: () => program.stop('SIGKILL') };
}
