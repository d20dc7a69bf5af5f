/** Decides from the user's environment where the services send their spans. */

/** Other destinations of the spans, chosen by the user. */
export interface Destination {
  /** The traces endpoint of the user's OTLP collector. */
  readonly collector: string | undefined;
  readonly isZipkinWanted: boolean;
}

export function destinationIn(env: NodeJS.ProcessEnv): Destination {
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL;
  const traces = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const general = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const collector = traces || (general ? `${general.replace(/\/$/, '')}/v1/traces` : undefined);
  if (collector !== undefined && protocol === 'grpc') {
    throw new Error(
      `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", but the samples pass spans on over HTTP; unset it and name the HTTP port, usually 4318.`,
    );
  }
  return { collector, isZipkinWanted: (env.OTEL_TRACES_EXPORTER ?? '').split(',').some(name => name.trim() === 'zipkin') };
}

/** Returns the environment of a service: the user's, with the runner's receiver as OTLP collector and a free port. */
export function serviceEnvironment(env: NodeJS.ProcessEnv, receiver: string, { isZipkinWanted }: Destination): NodeJS.ProcessEnv {
  const inherited = Object.entries(env).filter(
    ([name]) => !/^(OTEL_EXPORTER_OTLP_.*(ENDPOINT|PROTOCOL)|NODE_ENV|NODE_OPTIONS)$/.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    PORT: '0',
    OTEL_TRACES_EXPORTER: isZipkinWanted ? 'otlp,zipkin' : 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    // Export spans right after the request instead of up to five seconds later.
    OTEL_BSP_SCHEDULE_DELAY: '50',
  };
}
