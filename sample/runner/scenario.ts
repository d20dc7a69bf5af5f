/** Describes a sample for the runner: its services, the requests to send, and the expected traces. */

export interface Scenario {
  readonly folder: string;
  /** Environment variables for free ports, the same for all services. */
  readonly ports?: readonly string[];
  /** Servers that the services need. They start first and stop last. */
  readonly surroundings?: () => Promise<Surroundings>;
  /** In start order. */
  readonly services: readonly SampleService[];
  /** The service that receives the requests. */
  readonly entrance: string;
  /** The requests to send. They may depend on the available servers. */
  requests(env: NodeJS.ProcessEnv): readonly SampleRequest[];
}

export interface Surroundings {
  /** The environment variables with the addresses of the servers. */
  readonly env: Readonly<Record<string, string>>;
  /** Missing servers, and why. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

export interface SampleService {
  /** The name of its file and its `service.name`. */
  readonly name: string;
  /** Environment variables for the addresses of the services that it calls. */
  readonly calls?: Readonly<Record<string, string>>;
}

export interface SampleRequest {
  readonly title: string;
  readonly path: string;
  readonly status: number;
  /** The expected trace, as `TraceRecorder.tree()` prints it. */
  readonly tree: string;
  /** The events that a span must have, by span name. */
  readonly events?: Readonly<Record<string, readonly string[]>>;
}
