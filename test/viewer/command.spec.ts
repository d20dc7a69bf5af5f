/** `npx nestjs-tracing viewer`, as the program it is. */
import { afterEach } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { programOf, until } from './server/services.js';
import { call, otlp, otlpSpan, post } from './server/viewers.js';
import { freePort } from '../../sample/runner/free-ports.js';

const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

async function run(...args: string[]) {
  const child = spawn(process.execPath, [await programOf('lib/command.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  const command = { child, output: '', errors: '', exit: async () => child.exitCode ?? ((await once(child, 'exit'))[0] as number) };
  child.stdout.on('data', (chunk: Buffer) => (command.output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (command.errors += chunk.toString()));
  return command;
}

const ended = async (...args: string[]) => {
  const command = await run(...args);
  const code = await command.exit();
  return { code, output: command.output, errors: command.errors };
};

describe('npx nestjs-tracing viewer', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('prints where the traces are, shows what is sent to it, and ends on %s', async signal => {
    const port = await freePort();
    const command = await run('viewer', '--port', `${port}`, '--max-memory', '7');
    const url = `http://127.0.0.1:${port}`;
    await until(
      () => command.output,
      output => output.includes(`Traces are shown at ${url}\n`),
    );
    expect((await post(`${url}/v1/traces`, otlp(otlpSpan()))).status).toBe(200);
    expect((await call(`${url}/api/status`)).json()).toMatchObject({ spanCount: 1, maxBytes: 7e6 });
    command.child.kill(signal);
    expect(await command.exit()).toBe(0);
  });

  it('says so where another viewer is there already, and where the port is not free', async () => {
    const port = await freePort();
    const first = await run('viewer', '--port', `${port}`);
    await until(
      () => first.output,
      output => output.includes('shown at'),
    );
    expect(await ended('viewer', '--port', `${port}`)).toEqual({
      code: 0,
      output: `Another viewer is there already: http://127.0.0.1:${port}\n`,
      errors: '',
    });
    const foreign = createServer((_request, response) => response.end('hello')).unref();
    await new Promise<void>(resolve => void foreign.listen(0, '127.0.0.1', resolve));
    const taken = (foreign.address() as AddressInfo).port;
    expect(await ended('viewer', '--port', `${taken}`)).toMatchObject({
      code: 1,
      output: '',
      errors: expect.stringContaining(`Port ${taken} belongs to another program`),
    });
  });

  it('explains itself, and what is wrong with a command line', async () => {
    const usage = expect.stringContaining('Usage: nestjs-tracing viewer [options]');
    for (const args of [['--help'], ['viewer', '-h']]) expect(await ended(...args)).toEqual({ code: 0, output: usage, errors: '' });
    for (const [args, reason] of [
      [[], 'A command is missing'],
      [['serve'], 'no command "serve"'],
      [['viewer', 'now'], '"now" is one word too many'],
      [['viewer', '--prot', '1'], '--prot'],
      [['viewer', '--port', 'http'], '--port is "http"; expected a whole number from 0 to 65535'],
      [['viewer', '--max-memory', '0'], '--max-memory is "0"'],
    ] as [string[], string][]) {
      const { code, output, errors } = await ended(...args);
      expect([code, output, errors]).toEqual([2, '', usage]);
      expect(errors).toContain(reason);
    }
  });
});
