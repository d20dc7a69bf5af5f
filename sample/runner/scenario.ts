/** What a sample tells the runner: its services, the requests to send and the traces these must leave. */

export interface Scenario {
  readonly folder: string;
  /** Environment variables that hold free ports, the same for all services. */
  readonly ports?: readonly string[];
  /** What the services need around them: started first, stopped last. */
  readonly surroundings?: () => Promise<Surroundings>;
  /** In the order they are started. */
  readonly services: readonly SampleService[];
  /** The service that the requests are sent to. */
  readonly entrance: string;
  /** What it sends may depend on what there is. */
  requests(env: NodeJS.ProcessEnv): readonly SampleRequest[];
}

export interface Surroundings {
  /** Variables of the environment that tell where it is. */
  readonly env: Readonly<Record<string, string>>;
  /** What is not there, and why. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

export interface SampleService {
  /** Its file, and its `service.name`. */
  readonly name: string;
  /** Environment variables that hold the addresses of services it calls. */
  readonly calls?: Readonly<Record<string, string>>;
}

export interface SampleRequest {
  readonly title: string;
  readonly path: string;
  readonly status: number;
  /** As `TraceRecorder.tree()` prints it. */
  readonly tree: string;
  /** By span name, the events it must have. */
  readonly events?: Readonly<Record<string, readonly string[]>>;
}
