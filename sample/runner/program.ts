/** Runs a program as a child process: starts it, waits until it prints its address, and ends it by its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export interface Command {
  readonly command: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Outcome {
  /** The exit code. `null` if it could not be started or took too long. */
  readonly code: number | null;
  readonly stdout: string;
  /** The output of stdout and stderr, in order. */
  readonly output: string;
}

export class Program {
  private constructor(
    private readonly child: ChildProcess,
    /** The text that the pattern found in the output. */
    readonly found: string,
  ) {}

  get processId(): number | undefined {
    return this.child.pid;
  }

  /**
   * Starts a program and waits until `pattern` matches its output. `found` is the first group. Rejects with the output if the program ends
   * first.
   */
  static async start(command: Command, pattern = /listens on (http\S+)/): Promise<Program> {
    const child = launch(command);
    // The child must not outlive this process.
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    let output = '';
    const found = await new Promise<string>((resolve, reject) => {
      const fail = (reason: string) => {
        kill();
        reject(new Error(`${command.command} ${(command.args ?? []).join(' ')} ${reason}. Its output:\n${output.slice(-4000)}`));
      };
      const timer = setTimeout(() => fail(`was not ready within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
      const read = (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-100_000);
        const match = pattern.exec(output);
        if (match === null) return;
        clearTimeout(timer);
        resolve(match[1] ?? '');
      };
      child.stdout?.on('data', read);
      child.stderr?.on('data', read);
      child.once('error', ({ message }) => fail(`could not be started: ${message}`));
      child.once('exit', code => {
        clearTimeout(timer);
        fail(`ended with exit code ${code ?? 'none'}`);
      });
    });
    return new Program(child, found);
  }

  /** Runs a program to its end, without standard input. */
  static async run(command: Command, timeoutMs: number): Promise<Outcome> {
    const child = launch(command);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let stdout = '';
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      output += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise<number | null>(resolve => {
      child.once('error', ({ message }) => {
        output += message;
        resolve(null);
      });
      child.once('close', resolve);
    });
    clearTimeout(timer);
    return { code, stdout, output };
  }

  /** Sends `signal` to the program, and kills it if it does not end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.child.kill(signal);
    await ended;
    clearTimeout(timer);
  }
}

/** Starts the program with the environment of the shell, without variables for tracing, Node and npm. */
function launch({ command, args = [], cwd = process.cwd(), env = {} }: Command): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(OTEL_|NODE_OPTIONS$|NODE_ENV$|npm_|FORCE_COLOR$)/.test(name));
  return spawn(command, args, { cwd, env: { ...Object.fromEntries(inherited), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Returns the first line about an error, else the last line. */
export function reasonIn(output: string): string {
  const lines = output.trim().split('\n');
  const line = lines.find(text => /\s/.test(text.trim()) && TROUBLE.test(text)) ?? lines.at(-1);
  return line?.trim().slice(0, 200) || 'without a word';
}

const TROUBLE = /error|fail|cannot|could not|unable|refused|not found|disabled|no such/i;
