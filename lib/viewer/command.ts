/** The command `nestjs-tracing viewer`: runs the viewer as its own process, for services that stop often or do not use Nest. */
import { spawn } from 'node:child_process';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { OtherViewer } from './server/other-viewer.js';
import { TraceStore } from './server/trace-store.js';
import { ViewerServer } from './server/viewer-server.js';
import { DEFAULT_MEMORY_MB, DEFAULT_PORT } from '../options/resolved-options.js';

const USAGE = `Usage: nestjs-tracing viewer [options]

Shows the traces of all services that send OTLP to http://localhost:${DEFAULT_PORT}, as OpenTelemetry SDKs do by default.

  --port <number>       port on 127.0.0.1 (default ${DEFAULT_PORT})
  --max-memory <MB>     memory for traces; the oldest are dropped beyond it (default ${DEFAULT_MEMORY_MB})
  --open                opens the page in the browser
  --help                shows this help
`;

/** The command line is wrong; the message says how. */
class UsageError extends Error {}

interface Settings {
  readonly port: number;
  readonly maxBytes: number;
  readonly opensBrowser: boolean;
}

/** Runs the viewer until SIGINT or SIGTERM. Resolves with the exit code. @internal */
export async function viewerCommand(args: readonly string[]): Promise<number> {
  try {
    const settings = settingsOf(args);
    if (settings === undefined) return print(USAGE);
    return await serve(settings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
}

/** Returns `undefined` if the user asked for help. */
function settingsOf(args: readonly string[]): Settings | undefined {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  const [command, ...further] = positionals;
  if (command !== 'viewer') throw new UsageError(command === undefined ? 'A command is missing.' : `There is no command "${command}".`);
  if (further.length > 0) throw new UsageError(`"${further.join(' ')}" is one word too many.`);
  return {
    port: wholeNumber('--port', values.port, DEFAULT_PORT, 0, 65_535),
    maxBytes: wholeNumber('--max-memory', values['max-memory'], DEFAULT_MEMORY_MB, 1, 4096) * 1_000_000,
    opensBrowser: values.open === true,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        port: { type: 'string' },
        'max-memory': { type: 'string' },
        open: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${name} is "${text}"; expected a whole number from ${min} to ${max}.`);
}

async function serve({ port, maxBytes, opensBrowser }: Settings): Promise<number> {
  let server: ViewerServer;
  try {
    server = await ViewerServer.listen(new TraceStore({ maxBytes }), { port, isKeptAlive: true });
  } catch (error) {
    return explainListenError(port, error as NodeJS.ErrnoException, opensBrowser);
  }
  print(
    `Traces are shown at ${server.url}\nServices can send spans to ${server.url}/v1/traces (OTLP over HTTP) and ${server.url}/api/v2/spans (Zipkin).\n`,
  );
  if (opensBrowser) openInBrowser(server.url);
  await new Promise<void>(resolve => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await server.close();
  return 0;
}

/** Returns the exit code: 0 if the port already belongs to a viewer. */
async function explainListenError(port: number, { code, message }: NodeJS.ErrnoException, opensBrowser: boolean): Promise<number> {
  const url = `http://127.0.0.1:${port}`;
  if (code === 'EADDRINUSE' && (await isViewer(port))) {
    if (opensBrowser) openInBrowser(url);
    return print(`Another viewer is there already: ${url}\n`);
  }
  process.stderr.write(
    code === 'EADDRINUSE'
      ? `Port ${port} belongs to another program. Stop it, or choose another port: nestjs-tracing viewer --port <number>\n`
      : `The viewer cannot listen on port ${port}: ${message}\n`,
  );
  return 1;
}

async function isViewer(port: number): Promise<boolean> {
  // The connections of OtherViewer do not keep the process alive, so this timer does until the answer is there.
  const keepAlive = setInterval(() => undefined, 1000);
  const other = new OtherViewer(port);
  const owner = await other.owner();
  other.close();
  clearInterval(keepAlive);
  return owner === 'viewer';
}

function openInBrowser(url: string): void {
  const [program, ...args] = OPENERS[process.platform] ?? ['xdg-open'];
  // A machine without a browser needs no error: the address has been printed.
  spawn(program, [...args, url], { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}

const OPENERS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
};

/** Returns the exit code 0. */
function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
