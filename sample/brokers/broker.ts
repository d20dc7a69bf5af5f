/** Real brokers on the loopback interface, each a process of its own on a free port, with its data in a folder of its own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Program } from '../runner/program.js';
import { freePort } from '../runner/free-ports.js';

/** How one kind of broker is found and started. */
export interface BrokerKind {
  readonly name: string;
  /** Why it cannot be started here; `undefined` where it can. */
  missing(): string | undefined;
  /** Starts it; resolves when it takes connections. */
  launch(port: number, folder: string): Promise<Pick<Program, 'stop'>>;
}

/** A broker that is running; the port and the data stay the same over `restart()`. */
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

  /** Ends it without giving it time for anything. */
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

/** Debian keeps servers in /usr/sbin. */
export const PATH = `${process.env['PATH']}:/usr/sbin`;

/** Why a command cannot be run here; `undefined` where it can. */
export function reasonWithout(command: string): string | undefined {
  const found = spawnSync('which', [command], { env: { ...process.env, PATH } }).status === 0;
  return found ? undefined : `"${command}" is not on this machine`;
}
