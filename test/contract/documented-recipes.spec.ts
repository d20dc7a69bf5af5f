import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf } from '../own-process.js';

const folder = join(process.cwd(), 'node_modules/.cache/documented-recipes');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The first block of TypeScript below a heading of a page. */
function recipe(page: string, heading: string): string {
  const section = readFileSync(join('docs', page), 'utf8').split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const block = /^```ts\n([^]*?)^```$/m.exec(section)?.[1];
  if (block === undefined) throw new Error(`docs/${page} has no block below "${heading}".`);
  return block;
}

/** An application with `tracing` of a recipe, asked for paths with headers; each answer is the headers that a further service was sent. */
const APPLICATION = `
import { asked } from './settings';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tracing } from './recipe';

const further = createServer((request, response) => response.end(JSON.stringify(request.headers))).listen(0, '127.0.0.1');
await once(further, 'listening');
const call = async () => (await fetch('http://127.0.0.1:' + (further.address() as { port: number }).port)).text();

@Controller()
class Everything {
  @Get('*path') one() {
    return call();
  }
}
@Module({ imports: [tracing], controllers: [Everything] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.listen(0, '127.0.0.1');
const { request } = await import('node:http');
const url = await app.getUrl();
for (const [path, headers] of asked) {
  const [response] = await once(request(url + path, { headers }).end(), 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  console.log('ANSWER ' + text);
}
await app.close();
further.closeAllConnections();
further.close();
`;

type Request = [path: string, headers?: Record<string, string>];

/** What the further service was told, and the waterfalls that the terminal shows. */
async function run(page: string, heading: string, asked: Request[], env: NodeJS.ProcessEnv = {}) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'recipe.ts'), recipe(page, heading));
  writeFileSync(join(folder, 'application.ts'), APPLICATION);
  const settings = { NODE_ENV: 'development', OTEL_TRACES_EXPORTER: 'waterfall', ...env };
  writeFileSync(
    join(folder, 'settings.ts'),
    `Object.assign(process.env, ${JSON.stringify(settings)});\nexport const asked = ${JSON.stringify(asked)};`,
  );
  const output = await outputOf(join(folder, 'application.ts'));
  const told = [...output.matchAll(/^ANSWER (.*)$/gm)].map(([, text]) => JSON.parse(text ?? '{}') as Record<string, string>);
  if (told.length === 0) throw new Error(`Nothing was answered: ${output}`);
  return { told, output };
}

const THEIRS = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

describe('the recipe of the pages for', () => {
  it('B3 writes the X-B3-* headers beside traceparent', async () => {
    const { told } = await run('export.md', 'B3 and Istio', [['/work']]);
    expect(told).toHaveLength(1);
    expect(told[0]?.['x-b3-traceid']).toMatch(/^[0-9a-f]{32}$/);
    expect(told[0]?.traceparent).toContain(told[0]?.['x-b3-traceid']);
    expect(told[0]?.b3).toBeUndefined();
  });

  it('a trust boundary continues the trace of those with the token alone, and tells no other host', async () => {
    const asked: Request[] = [
      ['/work', { traceparent: THEIRS }],
      ['/work', { traceparent: THEIRS, 'x-internal-token': 'secret' }],
    ];
    const { told, output } = await run('security.md', 'Trust boundary', asked, { INTERNAL_TOKEN: 'secret' });
    expect(told.map(({ traceparent }) => traceparent)).toEqual([undefined, undefined]);
    const traces = [...output.matchAll(/^ {2}trace ([0-9a-f]{32})/gm)].map(([, id]) => id);
    expect(traces.map(id => id === 'a'.repeat(32))).toEqual([false, true]);
  });

  it('health checks leaves them out, and what lies below a prefix', async () => {
    const { output } = await run('sampling.md', 'Health checks', [['/health?full=1'], ['/metrics'], ['/assets/logo.svg'], ['/work']]);
    expect([...output.matchAll(/^✔ (.*?) {2}/gm)].map(([, name]) => name)).toEqual(['GET /*path']);
  });
});
