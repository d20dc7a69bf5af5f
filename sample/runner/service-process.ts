/** A service of a sample as a process of its own. */
import { Program } from './program.js';

export class ServiceProcess {
  private constructor(private readonly program: Program) {}

  /** Resolves when the service has said where it listens; fails with what it said otherwise. */
  static async start(file: string, env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
    return new ServiceProcess(await Program.start({ command: process.execPath, args: ['--enable-source-maps', file], env }));
  }

  get url(): string {
    return this.program.found;
  }

  get processId(): number | undefined {
    return this.program.processId;
  }

  /** Asks the service to end as a container platform does, and takes no for no answer. */
  stop(): Promise<void> {
    return this.program.stop();
  }
}
