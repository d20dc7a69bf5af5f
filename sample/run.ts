/**
 * Runs a sample: starts its services and the viewer, sends the requests, prints and checks the traces, and stops everything. In a terminal
 * it stops at Ctrl+C.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SpanKind } from '@opentelemetry/api';
import { type FinishedSpan, TraceRecorder, traceMatchers } from 'nestjs-tracing/testing';
import { WaterfallExporter } from 'nestjs-tracing/viewer';
import { twoServices } from './01-two-services/scenario.js';
import { orderSystem } from './02-order-system/scenario.js';
import { everyTransport } from './03-every-transport/scenario.js';
import { freePorts } from './runner/free-ports.js';
import { destinationIn, serviceEnvironment } from './runner/environment.js';
import type { SampleRequest, Scenario } from './runner/scenario.js';
import { ServiceProcess } from './runner/service-process.js';
import { SpanReceiver } from './runner/span-receiver.js';
import { ViewerProcess } from './runner/viewer-process.js';

const SCENARIOS: readonly Scenario[] = [twoServices, orderSystem, everyTransport];
const TRACE_TIMEOUT_MS = 10_000;
/** `npm run sample -- --methods` also shows the methods of each service. */
const showsMethods = process.argv.includes('--methods');
if (showsMethods) process.env.SAMPLE_METHODS = 'true';

/** Returns what is wrong with the trace of `request`. */
async function send(request: SampleRequest, url: string, recorder: TraceRecorder, waterfall: WaterfallExporter): Promise<string[]> {
  recorder.clear();
  const { status } = await fetch(url + request.path);
  console.log(`\n${request.title}: GET ${request.path} → ${status}\n`);
  // With spans of methods, a trace has more spans than described. A service sends them before or with the span of its request.
  const described = request.tree.trim().split('\n');
  const awaited = showsMethods ? described.filter(line => line.includes('(server)')).length : described.length;
  const isAwaited = ({ kind }: FinishedSpan): boolean => !showsMethods || kind === SpanKind.SERVER;
  await recorder.waitForSpans(spans => spans.filter(isAwaited).length >= awaited, { timeoutMs: TRACE_TIMEOUT_MS });
  await recorder.waitForTrace(undefined, { timeoutMs: TRACE_TIMEOUT_MS });
  waterfall.export(recorder.spans, () => {});
  const problems = status === request.status ? [] : [`The answer is ${status}, expected ${request.status}.`];
  const context = { equals: isDeepStrictEqual };
  const expectations = [
    ...(showsMethods ? [] : [traceMatchers.toHaveTree(recorder, request.tree)]),
    ...Object.entries(request.events ?? {}).map(([name, events]) => traceMatchers.toHaveSpan.call(context, recorder, name, { events })),
  ];
  for (const { pass, message } of expectations) if (!pass) problems.push(message());
  return problems.map(problem => `${request.title}: ${problem}`);
}

async function run(scenario: Scenario, environment: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const destination = destinationIn(environment);
  const sentTo = [destination.collector, destination.isZipkinWanted ? 'Zipkin' : undefined].filter(place => place !== undefined);
  const recorder = new TraceRecorder();
  const waterfall = new WaterfallExporter();
  const isWatched = process.stdout.isTTY === true && process.stdin.isTTY === true;
  const viewer = sentTo.length > 0 ? undefined : await ViewerProcess.start(isWatched);
  const collector = viewer === undefined ? destination.collector : `${viewer.url}/v1/traces`;
  const receiver = await SpanReceiver.start(spans => recorder.export(spans), collector);
  const running = new Map<string, ServiceProcess>();
  const problems: string[] = [];
  const requests = scenario.requests(environment);
  try {
    const ports = await freePorts(scenario.ports);
    for (const { name, calls = {} } of scenario.services) {
      const addresses = Object.entries(calls).map(([variable, service]) => [variable, running.get(service)?.url]);
      const env = { ...serviceEnvironment(environment, receiver.url, destination), ...ports, ...Object.fromEntries(addresses) };
      const service = await ServiceProcess.start(join(import.meta.dirname, scenario.folder, `${name}.js`), env);
      running.set(name, service);
      console.log(`${name} runs as process ${service.processId} on ${service.url}`);
    }
    const entrance = running.get(scenario.entrance)?.url ?? '';
    for (const request of requests) problems.push(...(await send(request, entrance, recorder, waterfall)));
    if (viewer !== undefined && isWatched && problems.length === 0) await untilInterrupted(requests, entrance, viewer.url);
    recorder.clear();
  } finally {
    // The services export their last spans before they end.
    await Promise.all([...running.values()].map(service => service.stop()));
    receiver.stop();
    await viewer?.stop();
  }
  if (recorder.spans.length > 0) problems.push(`These spans came when every trace was complete:\n\n${recorder.tree()}`);
  for (const failure of receiver.relayFailures) {
    const sentence = `${viewer === undefined ? 'Your collector' : 'The viewer'} did not get the traces: ${failure}.`;
    if (viewer?.isOwn === false) console.log(`\n${sentence} It was not started here.`);
    else problems.push(sentence);
  }
  if (problems.length === 0) console.log(`\n${farewell(scenario, requests.length, sentTo)}`);
  return problems;
}

/** Runs the scenario with the servers that its services need. */
async function runWithServers(scenario: Scenario): Promise<readonly string[]> {
  const surroundings = await scenario.surroundings?.();
  for (const reason of surroundings?.missing ?? []) console.log(`Left out: ${reason}`);
  try {
    return await run(scenario, { ...process.env, ...surroundings?.env });
  } finally {
    await surroundings?.stop();
  }
}

async function untilInterrupted(requests: readonly SampleRequest[], entrance: string, viewer: string): Promise<void> {
  console.log(`\nThe traces are at ${viewer}. Send more requests and see theirs come: curl ${entrance}${requests[0]?.path ?? '/'}`);
  console.log('Ctrl+C ends everything.');
  process.removeAllListeners('SIGINT');
  await once(process, 'SIGINT');
}

function farewell({ folder, entrance }: Scenario, traces: number, sentTo: readonly string[]): string {
  return [
    `${traces === 1 ? 'The trace is' : `All ${traces} traces are`} ${showsMethods ? 'shown' : 'as expected'}; the services have been stopped.`,
    ...sentTo.map(place => `The same was sent to ${place}: look there for the service ${entrance}.`),
    'Open next:',
    `  sample/${folder}  what traced services look like`,
    '  sample/README.md  the other samples, and how to run one by hand',
    '  npm run sample in a terminal, and the browser opens with the traces',
    ...(sentTo.length > 0 ? [] : WITH_DOCKER),
  ].join('\n');
}

const WITH_DOCKER = [
  'With Docker, the same traces in Jaeger, on http://localhost:16686:',
  '  docker compose -f sample/02-order-system/compose.yaml up --detach',
  '  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 npm run sample',
];

async function main(word: string | undefined): Promise<void> {
  const scenario = word === undefined ? orderSystem : SCENARIOS.find(({ folder }) => folder.startsWith(word));
  if (!scenario) throw new Error(`There is no sample "${word}"; there are ${SCENARIOS.map(({ folder }) => folder).join(' and ')}.`);
  const problems = await runWithServers(scenario);
  if (problems.length > 0) throw new Error(problems.join('\n\n'));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

await main(process.argv.slice(2).find(word => !word.startsWith('--'))).catch((error: unknown) => {
  console.error(`\n${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
