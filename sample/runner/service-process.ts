/** Runs a service of a sample as a child process. */
import { Program } from './program.js';

export class ServiceProcess {
  private constructor(private readonly program: Program) {}

  /** Resolves when the service has printed its address. Rejects with the output if it ends first. */
  static async start(file: string, env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
    return new ServiceProcess(await Program.start({ command: process.execPath, args: ['--enable-source-maps', file], env }));
  }

  get url(): string {
    return this.program.found;
  }

  get processId(): number | undefined {
    return this.program.processId;
  }

  /** Sends SIGTERM, as a container platform does, and kills the service if it does not end. */
  stop(): Promise<void> {
    return this.program.stop();
  }
}
