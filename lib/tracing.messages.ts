/** Every sentence this library throws or logs: subject, observed value in quotes, what happens instead, how to fix it. */

const show = (value: unknown): string => {
  if (typeof value === 'string') return `"${value.length > 80 ? `${value.slice(0, 80)}…` : value}"`;
  if (typeof value === 'function') return `function "${value.name || 'anonymous'}"`;
  if (typeof value === 'object' && value !== null) return `an object of ${value.constructor?.name ?? 'no class'}`;
  return `"${String(value)}"`;
};

const countOf = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

export const messages = {
  invalidOption: (path: string, value: unknown, expected: string) =>
    `TracingModule option "${path}" is ${show(value)}; expected ${expected}.`,
  optionsNotAnObject: (value: unknown) =>
    `The options of TracingModule are ${show(value)}; give forRoot() an object, or return one from the factory of forRootAsync(). Nothing at all means the defaults.`,
  unknownOption: (path: string, known: readonly string[]) =>
    `TracingModule option "${path}" does not exist; known names: ${known.join(', ')}.`,
  invalidEnvironment: (name: string, value: string, expected: string, used: string) =>
    `Environment variable ${name} is ${show(value)}; expected ${expected}. Going on with ${used}.`,
  jaegerTakesOtlp: () =>
    'Jaeger takes OTLP: choose "otlp", with OTEL_EXPORTER_OTLP_ENDPOINT naming port 4318 of Jaeger, as in "http://localhost:4318"',
  callbackFailed: (option: string) =>
    `The callback "${option}" threw; its result is ignored and the application goes on. Further failures of it are counted, not logged.`,
  requestNotTraced: () => 'A request could not be traced and goes on without a span.',
  messageNotTraced: () => 'A call or message that came in could not be traced and is handled without a span.',
  notPutBack: () => 'Something that was traced could not be put back as it was.',
  noHandler: () => 'There is no handler for this message.',
  operationNotExecuted: () => 'The operation was not executed.',
  messageNotSentTraced: () => 'A call or message that goes out could not be traced and is sent without a span.',
  entranceNotTraced: () =>
    'A provider that looks like a scheduler, an event bus, a queue or a command could not be looked at; what enters there is not traced.',
  notAClientProxy: (value: unknown) =>
    `traceClientProxy() got ${show(value)}; expected a ClientProxy of @nestjs/microservices, as ClientProxyFactory.create() returns it.`,
  notAQueue: (value: unknown) => `traceQueue() got ${show(value)}; expected a Queue or FlowProducer of bullmq.`,
  importedWithoutForRoot: () =>
    'TracingModule is imported without options provider; write "TracingModule.forRoot()" in the root module. The module is global: other modules need not import it.',
  asyncOptionsAmbiguous: (count: number) =>
    `TracingModule.forRootAsync() got ${count} of "useFactory", "useClass" and "useExisting"; give exactly one of them.`,
  waitedInVain: (wanted: string, timeoutMs: number, tree: string, open: readonly string[]) =>
    `TraceRecorder waited ${timeoutMs} ms for ${wanted}. Recorded so far:\n\n${tree || '(no span)'}\n` +
    (open.length > 0 ? `\nStarted and not ended: ${open.join(', ')}\n` : '') +
    `\nCheck the name against the tree; waits take { timeoutMs } where the work takes longer.`,
  spanExpectation: (name: string, differences: readonly (readonly string[])[], tree: string) =>
    `About the span "${name}": ` +
    (differences.length === 0
      ? 'there is none.'
      : differences.map(list => (list.length === 0 ? 'one is as described' : list.join('; '))).join('. Another: ') + '.') +
    ` Recorded:\n\n${tree || '(no span)'}`,
  treeExpectation: (expected: string, actual: string) =>
    `About the tree of spans. Described:\n\n${expected}\n\nRecorded:\n\n${actual || '(no span)'}`,
  notARecorder: (value: unknown) => `A trace matcher got ${show(value)}; expected a TraceRecorder or an array of finished spans.`,
  spanNotOpened: () => 'A span could not be opened; what it was to stand for runs without it. Look at the sampler and the span processors.',
  spanNotEnded: () => 'A span could not be ended and is lost. Look at the span processors and the exporter.',
  samplerFailed: () =>
    'The Sampler of the option "sampler" threw or decided nothing; the trace is recorded unless its parent is not. Further failures are counted, not logged.',
  processorFailed: (name: string, method: string) =>
    `The span processor "${name}" threw in ${method}() and is passed over. Further failures of it are counted, not logged.`,
  exporterMissing: (exporter: string, packageName: string, range: string) =>
    `The exporter "${exporter}" needs the package "${packageName}", which is not installed. Run "npm i ${packageName}@${range}", or choose another exporter by the option "exporter" or by OTEL_TRACES_EXPORTER.`,
  exportFailed: (exporter: string) =>
    `Spans could not be delivered by the exporter "${exporter}" and are dropped. Check that what it sends to is running and reachable. Further failures are counted and summed up at shutdown.`,
  queueFull: (exporter: string, size: number) =>
    `More than ${size} spans wait for the exporter "${exporter}"; further ones are dropped. Raise OTEL_BSP_MAX_QUEUE_SIZE, sample less, or look at what keeps the exporter. Further drops are counted and summed up at shutdown.`,
  spansLost: (exporter: string, queueFull: number, exportFailed: number, deadlinePassed: number, deadlineMs: number) =>
    `${countOf(queueFull + exportFailed + deadlinePassed, 'span')} did not reach the exporter "${exporter}": ${queueFull} found its queue full, ${exportFailed} it failed to deliver, ${deadlinePassed} were on their way when the ${deadlineMs} ms of the option "shutdownTimeoutMs" were over.`,
  shutdownFailed: (what: string) => `${what} did not shut down cleanly; the application goes on closing.`,
  optionsWithoutEffect: (options: readonly string[], because: string) =>
    `${because}, so these options of TracingModule have no effect: ${options.join(', ')}. Set them where that provider is made, or do not register it.`,
  providerRegistered: () => 'An OpenTelemetry provider was registered before the application started and is used as it is',
  providerGiven: () => 'The provider of the option "tracerProvider" is used as it is',
  apiUnseen: (version: string) =>
    `A provider is registered with @opentelemetry/api ${version}, which is older than the copy this application uses and cannot be seen from it. Spans of this application stay apart from it; install one version of @opentelemetry/api ("npm ls @opentelemetry/api").`,
  slotRefused: (slot: string, version: string) =>
    `OpenTelemetry's global "${slot}" could not be registered: @opentelemetry/api ${version} is in use besides the copy of this application. Install one version of it ("npm ls @opentelemetry/api").`,
  propagatorFailed: (name: string, method: string) =>
    `The propagator "${name}" threw in ${method}(); its headers are left out. Further failures of it are counted, not logged.`,
  callNotTraced: () => 'An outgoing call could not be traced and goes on without a span or without headers.',
  clientNotTraced: () =>
    'A provider that looks like an HttpService or a ClientProxy could not be looked at; what it sends is not traced unless traceAxios() or traceClientProxy() is called.',
  notAnAxiosInstance: (value: unknown) => `traceAxios() got ${show(value)}; expected axios itself or what axios.create() returns.`,
  notAMethod: (decorator: string, target: unknown, name: unknown) =>
    `${decorator} stands on ${placeOf(target, name)}, which is not a method; put it on a method and compile with "experimentalDecorators".`,
  notAMethodParameter: (className: string, key: string) =>
    `@SpanAttribute("${key}") stands on a parameter of the constructor of ${className}; put it on a parameter of a method.`,
  viewerHosted: (url: string) => `Traces are shown at ${url}, by this process.`,
  viewerJoined: (url: string) => `Traces are shown at ${url}.`,
  viewerOffInProduction: () =>
    'The option "viewer" is set, but NODE_ENV is "production"; the viewer, made for development, stays off. Set "viewer: { inProduction: true }" to have it nevertheless.',
  viewerPortTaken: (port: number) =>
    `Port "${port}" belongs to another program, so traces are not shown. Stop that program, or give the viewer of all services another port: "viewer: { port }".`,
  viewerPortSilent: (port: number) =>
    `Whatever has port "${port}" does not answer, so traces are not shown. Look at what keeps it, or give the viewer of all services another port: "viewer: { port }".`,
  viewerNotListening: (port: number) =>
    `The viewer cannot listen on port "${port}", so traces are not shown. Give it another one: "viewer: { port }".`,
  viewerRejected: (url: string) => `The viewer at ${url} refused spans; they are not shown. Look whether it is of another version.`,
  viewerLostSpans: (kept: number) =>
    `More than ${kept} spans wait for a viewer; the oldest are not shown. Look at what keeps the process that hosts it.`,
  spanOption: (option: string, method: string) => `@Span ${option} of ${method}`,
};

function placeOf(target: unknown, name: unknown): string {
  const className = typeof target === 'function' ? target.name : (target as object | undefined)?.constructor.name;
  return typeof name === 'string' || typeof name === 'symbol' ? `"${className ?? ''}.${String(name)}"` : 'something';
}
