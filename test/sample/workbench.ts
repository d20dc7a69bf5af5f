/** A copy of the repository in which samples are built and run, as after a fresh clone and `npm ci`. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

export class Workbench {
  readonly folder = mkdtempSync(join(tmpdir(), 'sample-'));

  constructor() {
    for (const entry of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'tsconfig.cjs.json', '.ci/build.js', 'lib', 'sample']) {
      cpSync(join(process.cwd(), entry), join(this.folder, entry), { recursive: true, filter: path => !path.endsWith('sample/dist') });
    }
    symlinkSync(join(process.cwd(), 'node_modules'), join(this.folder, 'node_modules'), 'dir');
  }

  /** Runs a command here; without what jest and the developer's shell say about tracing. */
  async run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(OTEL_|NODE_ENV$|NODE_OPTIONS$|npm_|FORCE_COLOR$)/.test(name));
    // The Node that runs the specs runs the samples.
    const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`;
    const child = spawn(command, args, {
      cwd: this.folder,
      env: { ...Object.fromEntries(inherited), PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [output, errors, code] = await Promise.all([
      buffer(child.stdout),
      buffer(child.stderr),
      new Promise<number | null>(resolve => child.once('exit', resolve)),
    ]);
    return { code, output: `${output.toString()}${errors.toString()}` };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

interface Delivery {
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Something that takes spans, as a backend would; `url` without path. */
export async function startBackend(status = 200) {
  const deliveries: Delivery[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then(body => {
      deliveries.push({ path: request.url, headers: request.headers, body: body.toString() });
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const stop = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, deliveries, stop };
}
