/**
 * All messages that this library throws or logs. Each says what happened, the value in quotes, what happens instead, and what to change.
 */

const show = (value: unknown): string => {
  if (typeof value === 'string') return `"${value.length > 80 ? `${value.slice(0, 80)}…` : value}"`;
  if (typeof value === 'function') return `function "${value.name || 'anonymous'}"`;
  if (typeof value === 'object' && value !== null) return `an object of ${value.constructor?.name ?? 'no class'}`;
  return `"${String(value)}"`;
};

/** Returns the value with its type, because `"false"` may be a string. */
const showTyped = (value: unknown): string => {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' || typeof value === 'function' ? show(value) : `${show(value)} (a ${typeof value})`;
};

const countOf = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const COUNTED = 'Later failures are counted, not logged.';
const SUMMED_UP = 'Later failures are counted, and their number is logged at shutdown.';
/** The advice for failures inside of tracing. */
const CAUSE = 'Check your sampler, span processors and propagators; if you have none, this is a bug in nestjs-tracing.';
const ONE_API = 'Install one version of @opentelemetry/api; "npm ls @opentelemetry/api" shows which package needs which version.';
const OTHER_PORT = 'set another port in all services: "viewer: { port }"';

export const messages = {
  invalidOption: (path: string, value: unknown, expected: string) =>
    `TracingModule option "${path}" is ${showTyped(value)}; expected ${expected}.`,
  secretUnusable: (path: string, least: number) =>
    `TracingModule option "${path}" must be a text of at least ${least} printable ASCII characters, without spaces or line breaks at its ends.`,
  optionsNotAnObject: (value: unknown) =>
    `The options of TracingModule are ${showTyped(value)}; give forRoot() an object, or return one from the factory of forRootAsync(). Without options, the defaults apply.`,
  unknownOption: (path: string, known: readonly string[]) =>
    `TracingModule option "${path}" does not exist; known names: ${known.join(', ')}.`,
  invalidEnvironment: (name: string, value: string, expected: string, used: string, hint: string) =>
    `Environment variable ${name} is ${show(value)}; expected ${expected}.${hint} Tracing uses ${used}.`,
  refusedEnvironment: (name: string, value: string, expected: string) =>
    `Environment variable ${name} is ${show(value)}; expected ${expected}. Correct the variable or unset it.`,
  variableWithoutEffect: (name: string) =>
    `Environment variable ${name} is set, but has no effect here: nestjs-tracing does not read OpenTelemetry's configuration files. Use the options of TracingModule or the other variables.`,
  invalidHeaders: (name: string) =>
    `Environment variable ${name} has an entry that is no header. The entry is ignored. Write "name=value" pairs with commas between them, and percent-encode the values.`,
  expectedUrl: (port: number, suggestion: string | undefined, path = '') =>
    suggestion === undefined
      ? `a URL such as "http://localhost:${port}${path}"`
      : `a URL with "http://" or "https://" (did you mean "${suggestion}"?)`,
  expectedProxy: () => 'the URL of a proxy, such as "http://proxy:3128"',
  pathIsAppended: (path: string) => `the URL of the collector without "${path}", which nestjs-tracing appends`,
  jaegerReadsW3c: () => 'The header format of Jaeger is not supported; Jaeger and its clients also understand "tracecontext" or "b3"',
  jaegerTakesOtlp: () =>
    'Jaeger accepts OTLP: choose "otlp", and set OTEL_EXPORTER_OTLP_ENDPOINT to port 4318 of Jaeger, such as "http://localhost:4318"',
  callbackFailed: (option: string) =>
    `The callback "${option}" threw an error. Tracing ignores its result, and the application goes on. Correct the callback. ${COUNTED}`,
  requestNotTraced: () => `A request could not be traced and goes on without a span. ${CAUSE}`,
  messageNotTraced: () => `An incoming call or message could not be traced and is handled without a span. ${CAUSE}`,
  notPutBack: () =>
    'A wrapped method could not be put back when tracing ended. The others were put back. Check whether other code freezes or replaces it.',
  noHandler: () => 'There is no handler for this message.',
  operationNotExecuted: () => 'The operation was not executed.',
  providerNotTraced: () =>
    'A provider could not be searched or wrapped, so its work and its calls are not traced. Check whether the object is frozen. For a client or worker, call traceAxios(), traceClientProxy(), traceQueue() or traceWorker() with the object. For a database, call traceDatabase() before Object.freeze().',
  notAClientProxy: (value: unknown) =>
    `traceClientProxy() got ${show(value)}; expected a ClientProxy of @nestjs/microservices, as ClientProxyFactory.create() returns it.`,
  notAQueue: (value: unknown) => `traceQueue() got ${show(value)}; expected a Queue or FlowProducer of bullmq, or a Queue of bull.`,
  notAWorker: (value: unknown) => `traceWorker() got ${show(value)}; expected a Worker of bullmq.`,
  importedWithoutForRoot: () =>
    'TracingModule is imported without forRoot(). Write "TracingModule.forRoot()" in the imports of the root module. The module is global: other modules need not import it.',
  importedTwice: (importers: readonly string[]) =>
    `TracingModule is imported with different options${importers.length < 2 ? '' : ` by ${importers.map(name => `"${name}"`).join(' and ')}`}. One application has one set of options. Keep "TracingModule.forRoot(options)" in the root module. Elsewhere, leave the import out (the module is global) or write "TracingModule.forRoot()" without options. In a test, replace the options by "overrideProvider(TRACING_OPTIONS).useValue({ … })".`,
  asyncOptionsAmbiguous: (count: number) =>
    `TracingModule.forRootAsync() got ${count} of "useFactory", "useClass" and "useExisting"; give exactly one of them.`,
  waitTimedOut: (wanted: string, timeoutMs: number, tree: string, open: readonly string[]) =>
    `TraceRecorder waited ${timeoutMs} ms for ${wanted}. Recorded so far:\n\n${tree || '(no span)'}\n` +
    (open.length > 0 ? `\nStarted and not ended: ${open.join(', ')}\n` : '') +
    `\nCompare the name with the tree. If the work takes longer, give { timeoutMs } to the method that waits.`,
  spanExpectation: (name: string, differences: readonly (readonly string[])[], tree: string) =>
    `The span "${name}": ` +
    (differences.length === 0
      ? 'there is none.'
      : differences.map(list => (list.length === 0 ? 'one is as described' : list.join('; '))).join('. Another: ') + '.') +
    ` Recorded:\n\n${tree || '(no span)'}`,
  treeExpectation: (expected: string, actual: string) =>
    `The tree of spans. Described:\n\n${expected}\n\nRecorded:\n\n${actual || '(no span)'}`,
  notARecorder: (value: unknown) => `A trace matcher got ${show(value)}; expected a TraceRecorder or an array of finished spans.`,
  spanNotOpened: () => 'A span could not be opened; the work goes on without it. Check the sampler and the span processors.',
  spanNotEnded: () => 'A span could not be ended and is lost. Check the span processors and the exporter.',
  samplerFailed: () =>
    `The Sampler of the option "sampler" threw or returned no decision. The span is recorded unless it has a parent that is not. ${COUNTED}`,
  metricsFailed: () =>
    `The meter provider of the option "meterProvider" threw. Spans are made, but the metrics of spans may be wrong. ${COUNTED}`,
  instrumentationFailed: (name: string, method: string) =>
    `The instrumentation "${name}" threw in ${method}(). The application goes on, and this library may be traced in part or not at all. Check that the version of the instrumentation supports that of the library. ${COUNTED}`,
  instrumentationMissing: (folder: string) =>
    `"nestjs-tracing/register" found no @opentelemetry/instrumentation in ${folder}, so it prepares nothing. Run "npm i @opentelemetry/instrumentation" and install the instrumentations of your libraries, or start without "--import nestjs-tracing/register".`,
  notPrepared: (name: string) =>
    `"nestjs-tracing/register" could not prepare ${name}. The application starts without it. Check that its version supports this version of Node.`,
  processorFailed: (name: string, method: string) =>
    `The span processor "${name}" threw in ${method}(). Tracing goes on without it. ${COUNTED}`,
  exporterMissing: (exporter: string, packageName: string, range: string) =>
    `The exporter "${exporter}" needs the package "${packageName}", which is not installed. Run "npm i ${packageName}@${range}", or choose another exporter with the option "exporter" or with OTEL_TRACES_EXPORTER.`,
  exportRefused: (exporter: string, what: string, advice: string) =>
    `Spans could not be delivered by the exporter "${exporter}" and are dropped: ${what}. ${advice} ${SUMMED_UP}`,
  partlyRefused: (exporter: string, refused: number, sent: number, reason: string) =>
    refused === 0
      ? `The collector accepted the spans of the exporter "${exporter}" with a warning${reason}.`
      : `The collector refused ${refused} of ${countOf(sent, 'span')} of the exporter "${exporter}"${reason}. Check the limits and filters of the collector. ${SUMMED_UP}`,
  answerUnreadable: (address: string) =>
    `${address} accepted spans, but its answer is not OTLP. Check that this is the address of a collector, or of the OTLP endpoint of a vendor.`,
  exportFailed: (exporter: string) =>
    `Spans could not be delivered by the exporter "${exporter}" and are dropped. Check that its backend is running and can be reached. ${SUMMED_UP}`,
  queueFull: (exporter: string, size: number) =>
    `More than ${size} spans wait for the exporter "${exporter}", so further spans are dropped. Raise OTEL_BSP_MAX_QUEUE_SIZE, lower the option "sampler", or check why the exporter is slow. ${SUMMED_UP}`,
  spansLost: (exporter: string, queueFull: number, exportFailed: number, deadlinePassed: number, deadlineMs: number) =>
    `The exporter "${exporter}" lost ${countOf(queueFull + exportFailed + deadlinePassed, 'span')}: ${queueFull} because its queue was full, ${exportFailed} because the export failed, ${deadlinePassed} because they were in flight when the ${deadlineMs} ms of the option "shutdownTimeoutMs" were over.`,
  budgetUsedUpLate: (name: string, limit: number) =>
    `Work that "${name}" has started goes on after its end, and makes more than ${countOf(limit, 'span')}. Further ones are left out. Start such work in a trace of its own, with "@Span({ root: true })", or raise "budget".`,
  decidedEarly: (count: number, discarded: number) =>
    `The option "keep" decided on ${countOf(count, 'request')} before the end, because finished spans took too much memory or waited too long; ${countOf(discarded, 'span')} of them were dropped. Raise "keep.maxSpans", "keep.maxMemoryMb" or "keep.maxWaitMs", or lower "budget".`,
  shutdownFailed: (what: string) =>
    `${what} did not shut down cleanly; the application goes on closing. Check its exporters and span processors.`,
  optionsWithoutEffect: (options: readonly string[], because: string) =>
    `${because}, so these options of TracingModule have no effect: ${options.join(', ')}. Set them where that provider is made, or do not register it.`,
  providerRegistered: () => 'An OpenTelemetry provider was registered before the application started and is used as it is',
  providerGiven: () => 'The provider of the option "tracerProvider" is used as it is',
  apiUnseen: (version: string) =>
    `A provider is registered with @opentelemetry/api ${version}. The application uses a newer copy of that package, which cannot see this provider, so the provider does not get the spans of the application. ${ONE_API}`,
  severalCopies: (places: readonly string[]) =>
    `Several copies of nestjs-tracing are loaded: ${places.join(', and ')}. Each copy has its own class Tracer. If Nest "can't resolve dependencies" because of Tracer, that class is imported from one copy and TracingModule from another. Make nestjs-tracing a peer dependency of your libraries; "npm ls nestjs-tracing" shows which package needs which copy.`,
  apiCopyUnseen: (
    copy: { version: string; folder: string; usedBy: readonly string[] },
    own: { version: string; folder?: string | undefined },
  ) =>
    `Two versions of @opentelemetry/api are in use: ${copy.version} in ${copy.folder}${copy.usedBy.length > 0 ? ` (used by ${copy.usedBy.join(', ')})` : ''}, and ${own.version}${own.folder === undefined ? '' : ` in ${own.folder}`}, with which the provider is registered. The newer version cannot see what is registered with the older one, so spans of the newer version are lost or begin new traces. ${ONE_API}`,
  slotRefused: (slot: string, version: string) =>
    `OpenTelemetry's global "${slot}" could not be registered, because @opentelemetry/api ${version} is in use too. ${ONE_API}`,
  propagatorFailed: (name: string, method: string) => `The propagator "${name}" threw in ${method}(). Its headers are left out. ${COUNTED}`,
  outboundNotTraced: () =>
    `An outgoing call, message or job could not be traced. It is sent without a span or without trace headers. ${CAUSE}`,
  notADatabase: (value: unknown) =>
    `traceDatabase() got ${show(value)}; expected a pool, client or ORM of a library that docs/databases.md lists.`,
  frozenDatabase: () => 'traceDatabase() got a frozen object, whose methods cannot be wrapped. Call it before Object.freeze().',
  notAnAxiosInstance: (value: unknown) => `traceAxios() got ${show(value)}; expected axios itself or what axios.create() returns.`,
  notAMethod: (decorator: string, target: unknown, name: unknown) =>
    `${decorator} stands on ${placeOf(target, name)}, which is not a method; put it on a method and compile with "experimentalDecorators".`,
  notAMethodParameter: (className: string, key: string) =>
    `@SpanAttribute("${key}") stands on a parameter of the constructor of ${className}; put it on a parameter of a method.`,
  viewerHosted: (url: string) => `Traces are shown at ${url}, by this process.`,
  viewerJoined: (url: string) => `Traces are shown at ${url}.`,
  viewerOffInProduction: () =>
    'The option "viewer" is set, but NODE_ENV is "production", so the viewer stays off. It is made for development. To run it in production, set "viewer: { inProduction: true }".',
  viewerPortTaken: (port: number) =>
    `Port "${port}" belongs to another program, so traces are not shown. Stop that program, or ${OTHER_PORT}.`,
  viewerPortSilent: (port: number) =>
    `The program on port "${port}" does not answer, so traces are not shown. Stop that program, or ${OTHER_PORT}.`,
  viewerNotListening: (port: number) =>
    `The viewer cannot listen on port "${port}", so traces are not shown. Free the port, or ${OTHER_PORT}.`,
  viewerRejected: (url: string) =>
    `The viewer at ${url} refused spans, so they are not shown. Install the same version of nestjs-tracing in all services.`,
  viewerLostSpans: (kept: number) =>
    `More than ${kept} spans wait for the viewer, so the oldest ones are not shown. Check why the process that hosts the viewer is slow.`,
  spanOption: (option: string, method: string) => `@Span ${option} of ${method}`,
};

function placeOf(target: unknown, name: unknown): string {
  const className = typeof target === 'function' ? target.name : (target as object | undefined)?.constructor.name;
  return typeof name === 'string' || typeof name === 'symbol' ? `"${className ?? ''}.${String(name)}"` : 'something';
}

/**
 * Returns the name of `known` that is most similar to `given`, ignoring case. At most one letter in three may differ, or `given` is its
 * beginning. Returns undefined if no name is similar. @internal
 */
export function nearestName<Name extends string>(given: string, known: readonly Name[]): Name | undefined {
  const name = given.trim().toLowerCase();
  let nearest: Name | undefined;
  let least = Math.floor(name.length / 3) + 1;
  for (const candidate of known) {
    const distance = distanceBetween(name, candidate.toLowerCase());
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest ?? (name.length < 4 ? undefined : known.find(candidate => candidate.toLowerCase().startsWith(name)));
}

/**
 * Returns ` Did you mean "sampler"?` if a known name is similar to `given`. Else it suggests `others`. Returns an empty string if there are
 * none. @internal
 */
export function didYouMean(given: unknown, known: readonly string[], others: readonly string[] = []): string {
  if (typeof given !== 'string') return '';
  const nearest = nearestName(given, known);
  const meant = nearest === undefined ? others : [nearest];
  return meant.length === 0 ? '' : ` Did you mean ${meant.map(name => `"${name}"`).join(' or ')}?`;
}

/** Returns the edit distance: the number of letters to change, add, remove or swap to turn one text into the other. */
function distanceBetween(one: string, other: string): number {
  // Texts of very different lengths are not compared.
  if (Math.abs(one.length - other.length) > 3) return Infinity;
  const at = (row: readonly number[], column: number) => row[column] ?? Infinity;
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (isSame ? 0 : 1),
          isSwapped ? at(beforeLast, column - 2) + 1 : Infinity,
        ),
      );
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, other.length);
}
