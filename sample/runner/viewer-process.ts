/** The viewer's command as a process of its own, or the viewer that is there already. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const START_TIMEOUT_MS = 15_000;

export class ViewerProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Where the page is, and below it the OTLP intake. */
    readonly url: string,
    /** False for one that was there already, which may leave at any time. */
    readonly isOwn: boolean,
  ) {}

  /** On the port of OTLP, where other services of the user would send to; on any other where that is taken. */
  static async start(opensBrowser: boolean): Promise<ViewerProcess> {
    const further = opensBrowser ? ['--open'] : [];
    const first = await ViewerProcess.run(further);
    const viewer = typeof first === 'string' ? await ViewerProcess.run(['--port', '0', ...further]) : first;
    if (typeof viewer === 'string') throw new Error(`The viewer cannot be started: ${viewer}`);
    return viewer;
  }

  /** What it said, where it does not run. */
  private static async run(args: readonly string[]): Promise<ViewerProcess | string> {
    // In a group of its own: Ctrl+C ends the services first, which still deliver what they hold.
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
