/** Runs real brokers on the loopback interface. Each one is a process with its own free port and data folder. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Program } from '../runner/program.js';
import { freePort } from '../runner/free-ports.js';

/** Finds and starts one kind of broker. */
export interface BrokerKind {
  readonly name: string;
  /** Returns the reason why it cannot be started here, or undefined. */
  missing(): string | undefined;
  /** Starts it and resolves when it accepts connections. */
  launch(port: number, folder: string): Promise<Pick<Program, 'stop'>>;
}

/** A running broker. `restart()` keeps its port and its data. */
export class Broker {
  private constructor(
    private readonly kind: BrokerKind,
    readonly port: number,
    private readonly folder: string,
    private program: Pick<Program, 'stop'>,
  ) {}

  static async start(kind: BrokerKind): Promise<Broker> {
    const folder = mkdtempSync(join(tmpdir(), `${kind.name}-`));
    const port = await freePort();
    return new Broker(kind, port, folder, await kind.launch(port, folder));
  }

  /** Kills it immediately. */
  kill(): Promise<void> {
    return this.program.stop('SIGKILL');
  }

  async restart(): Promise<void> {
    this.program = await this.kind.launch(this.port, this.folder);
  }

  async stop(): Promise<void> {
    await this.program.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Debian installs servers in /usr/sbin. */
export const PATH = `${process.env['PATH']}:/usr/sbin`;

/** Returns the reason why a command cannot be run here, or undefined. */
export function reasonWithout(command: string): string | undefined {
  const found = spawnSync('which', [command], { env: { ...process.env, PATH } }).status === 0;
  return found ? undefined : `"${command}" is not on this machine`;
}
