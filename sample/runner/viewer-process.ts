/** Starts the viewer as a child process, or uses a viewer that already runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const START_TIMEOUT_MS = 15_000;

export class ViewerProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** The URL of the page. OTLP requests go to paths below it. */
    readonly url: string,
    /** False if the viewer was already running. It may then stop at any time. */
    readonly isOwn: boolean,
  ) {}

  /** Uses the default OTLP port, which the user's other services send to. Uses another port if that one is taken. */
  static async start(opensBrowser: boolean): Promise<ViewerProcess> {
    const further = opensBrowser ? ['--open'] : [];
    const first = await ViewerProcess.run(further);
    const viewer = typeof first === 'string' ? await ViewerProcess.run(['--port', '0', ...further]) : first;
    if (typeof viewer === 'string') throw new Error(`The viewer cannot be started: ${viewer}`);
    return viewer;
  }

  /** Returns the viewer, or its output if it did not start. */
  private static async run(args: readonly string[]): Promise<ViewerProcess | string> {
    // In its own process group, Ctrl+C does not end it before the services, which still export spans.
    const child = spawn(process.execPath, [viewerCommand(), 'viewer', ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    process.once('exit', () => child.kill());
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const url = await new Promise<string | undefined>(resolve => {
      const timer = setTimeout(() => resolve(undefined), START_TIMEOUT_MS);
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const address = /(?:shown at|there already:) (http\S+)/.exec(output)?.[1];
        if (address !== undefined) resolve(address);
      });
      child.once('close', () => {
        clearTimeout(timer);
        resolve(undefined);
      });
    });
    return url === undefined ? output : new ViewerProcess(child, url, !output.includes('there already:'));
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
  }
}

function viewerCommand(): string {
  const manifest = createRequire(import.meta.url).resolve('nestjs-tracing/package.json');
  const { bin } = createRequire(import.meta.url)(manifest) as { readonly bin: Readonly<Record<string, string>> };
  return join(dirname(manifest), bin['nestjs-tracing'] ?? '');
}
