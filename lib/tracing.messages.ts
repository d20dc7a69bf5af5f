/** Every sentence this library throws or logs: subject, observed value in quotes, what happens instead, how to fix it. */

const show = (value: unknown): string => {
  if (typeof value === 'string') return `"${value.length > 80 ? `${value.slice(0, 80)}…` : value}"`;
  if (typeof value === 'function') return `function "${value.name || 'anonymous'}"`;
  if (typeof value === 'object' && value !== null) return `an object of ${value.constructor?.name ?? 'no class'}`;
  return `"${String(value)}"`;
};

export const messages = {
  invalidOption: (path: string, value: unknown, expected: string) =>
    `TracingModule option "${path}" is ${show(value)}; expected ${expected}.`,
  unknownOption: (path: string, known: readonly string[]) =>
    `TracingModule option "${path}" does not exist; known names: ${known.join(', ')}.`,
  invalidEnvironment: (name: string, value: string, expected: string, used: string) =>
    `Environment variable ${name} is ${show(value)}; expected ${expected}. Going on with ${used}.`,
  callbackFailed: (option: string) =>
    `The callback "${option}" threw; its result is ignored and the application goes on. Further failures of it are counted, not logged.`,
  requestNotTraced: () => 'A request could not be traced and goes on without a span.',
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
  propagatorFailed: (name: string, method: string) =>
    `The propagator "${name}" threw in ${method}(); its headers are left out. Further failures of it are counted, not logged.`,
  callNotTraced: () => 'An outgoing call could not be traced and goes on without a span or without headers.',
  notAnAxiosInstance: (value: unknown) => `traceAxios() got ${show(value)}; expected axios itself or what axios.create() returns.`,
  notAMethod: (decorator: string, target: unknown, name: unknown) =>
    `${decorator} stands on ${placeOf(target, name)}, which is not a method; put it on a method and compile with "experimentalDecorators".`,
  notAMethodParameter: (className: string, key: string) =>
    `@SpanAttribute("${key}") stands on a parameter of the constructor of ${className}; put it on a parameter of a method.`,
  spanOption: (option: string, method: string) => `@Span ${option} of ${method}`,
};

function placeOf(target: unknown, name: unknown): string {
  const className = typeof target === 'function' ? target.name : (target as object | undefined)?.constructor.name;
  return typeof name === 'string' || typeof name === 'symbol' ? `"${className ?? ''}.${String(name)}"` : 'something';
}
