/** Services with the viewer on, as real processes. */
import { afterEach } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { call } from './viewers.js';

const running: ChildProcess[] = [];

afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

/** A file of the library or of the specs as a program; it lies where it finds the installed packages. */
export async function programOf(entry: string): Promise<string> {
  const outfile = join(process.cwd(), 'node_modules/.cache/viewer-specs', `${basename(entry, '.ts')}-${process.pid}.mjs`);
  await build({ entryPoints: [entry], bundle: true, packages: 'external', platform: 'node', format: 'esm', outfile });
  return outfile;
}

let fixture: Promise<string> | undefined;

export class Service {
  output = '';
  private readonly messages: object[] = [];

  private constructor(readonly child: ChildProcess) {
    running.push(child);
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.on('message', message => this.messages.push(message as object));
  }

  static async run(settings: object, env: NodeJS.ProcessEnv = {}): Promise<Service> {
    fixture ??= programOf('test/viewer/server/service.fixture.ts');
    const args = [await fixture, JSON.stringify(settings)];
    return new Service(
      spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { PATH: process.env.PATH, ...env } }),
    );
  }

  static async start(settings: object, env: NodeJS.ProcessEnv = {}): Promise<Service> {
    const service = await Service.run(settings, env);
    await service.told('ready');
    return service;
  }

  span(name: string): void {
    this.child.send({ span: name });
  }

  /** Ends it as an application ends; returns what spans it has seen. */
  async stop(): Promise<readonly string[]> {
    this.child.send({ stop: true });
    const { ended } = (await this.told('ended')) as { ended: string[] };
    if (this.child.exitCode === null) await once(this.child, 'exit');
    return ended;
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode === null) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  private async told(what: string): Promise<object> {
    for (;;) {
      const message = this.messages.find(one => what in one);
      if (message !== undefined) return message;
      if (this.child.exitCode !== null) throw new Error(`the service has ended:\n${this.output}`);
      await Promise.race([once(this.child, 'message'), once(this.child, 'exit')]);
    }
  }
}

/** Asks until the answer is as it should be; a test that waits in vain ends by its own timeout. */
export async function until<T>(ask: () => Promise<T> | T, isFine: (value: T) => boolean): Promise<T> {
  for (;;) {
    try {
      const value = await ask();
      if (isFine(value)) return value;
    } catch {
      // Nobody is there yet.
    }
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

/** Names of the spans that the viewer on `port` shows. */
export async function shown(port: number): Promise<string[]> {
  const { traces } = (await call(`http://127.0.0.1:${port}/api/traces`)).json() as { traces: { name: string }[] };
  return traces.map(({ name }) => name).sort();
}

export async function hostOf(port: number): Promise<number> {
  return ((await call(`http://127.0.0.1:${port}/api/status`)).json() as { pid: number }).pid;
}
