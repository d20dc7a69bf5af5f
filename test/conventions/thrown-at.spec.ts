/** The span that has an exception says in which file and line of the application it was thrown. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Tracer } from '../../lib/api/tracer.js';
import ts from 'typescript';
import { thrownAt } from '../../lib/conventions/stack-frames.js';
import { applicationOfSpec } from '../spans/application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

const here = () => {
  const [, line] = /thrown-at\.spec\.ts:(\d+)/.exec(new Error('where').stack!.split('\n')[2]!) ?? [];
  return Number(line);
};

describe('an exception in a span', () => {
  it('has the file and the line where it was thrown on the innermost span that saw it', () => {
    let line = 0;
    const inner = () => {
      line = here() + 1;
      throw new Error('broken');
    };
    expect(() => tracer.span('outer', () => tracer.span('inner', inner))).toThrow('broken');
    expect(app.span('inner').attributes).toMatchObject({
      'code.file.path': fileURLToPath(import.meta.url),
      'code.line.number': line,
    });
    expect(app.span('outer').attributes).toEqual({ 'error.type': 'Error' });
  });

  it('has the frame of the application that called the library or Node', () => {
    const line = here() + 1;
    expect(() => tracer.span('a', () => JSON.parse('{') as unknown)).toThrow();
    expect(app.span('a').attributes).toMatchObject({ 'code.line.number': line });
  });

  it('has none of them without a stack, and without an exception', () => {
    expect(() =>
      tracer.span('thrown text', () => {
        throw 'text';
      }),
    ).toThrow();
    tracer.span('fine', () => 1);
    for (const name of ['thrown text', 'fine'])
      expect(Object.keys(app.span(name).attributes).filter(key => key.startsWith('code.'))).toEqual([]);
  });
});

describe('the place in a stack', () => {
  const stack = (...frames: string[]) => `Error: broken\n${frames.map(frame => `    at ${frame}`).join('\n')}`;

  it.each<[string, string | undefined, number | undefined]>([
    ['Orders.load (/app/dist/orders.js:10:5)', '/app/dist/orders.js', 10],
    ['async Orders.load (file:///app/my%20code/orders.js:10:5)', '/app/my code/orders.js', 10],
    ['runInSpan (file:///home/me/lib/dist/esm/nestjs-tracing-cWMhmQNe.js:1637:108)', undefined, undefined],
    ['runInSpan (/home/me/nestjs-tracing/dist/cjs/spans/run-in-span.js:20:1)', undefined, undefined],
    ['load (/home/me/nestjs-tracing-demo/src/orders.js:4:1)', '/home/me/nestjs-tracing-demo/src/orders.js', 4],
    ['C:\\app\\orders.js:7:1', 'C:\\app\\orders.js', 7],
    ['load (file:///C:/app/orders.js:7:1)', 'C:/app/orders.js', 7],
    ['Object.get [as id] (/app (copy)/orders.js:8:1)', '/app (copy)/orders.js', 8],
    ['eval (eval at load (/app/orders.js:1:2), <anonymous>:1:1)', undefined, undefined],
    ['async Promise.all (index 0)', undefined, undefined],
    ['wasm://wasm/0a1b:wasm-function[1]:0x45', undefined, undefined],
    ['Object.query (/app/node_modules/pg/lib/client.js:3:1)', undefined, undefined],
    ['node:internal/process/task_queues:95:5', undefined, undefined],
    ['new Promise (<anonymous>)', undefined, undefined],
  ])('is that of %s', (frame, path, line) => {
    const place = thrownAt(stack(frame), 'broken');
    expect([place?.path, place?.line]).toEqual([path, line]);
  });

  it('is that of the next frame if one has none', () => {
    const frames = ['async Promise.all (index 0)', `${'a ('.repeat(20_000)}:1:1`, 'async load (/app/orders.js:9:1)'];
    expect(thrownAt(stack(...frames), 'broken')).toEqual({ path: '/app/orders.js', line: 9 });
  });

  it('is never read out of the message', () => {
    const message = 'first\n    at fake (/etc/passwd:1:1)';
    expect(thrownAt(`Error: ${message}\n    at real (/app/real.js:2:1)`, message)).toEqual({ path: '/app/real.js', line: 2 });
  });

  it('is the original one where Node knows the source map', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'thrown-at-'));
    try {
      const source = `interface Unused {\n  a: string;\n}\n\nfunction load(): void {\n  throw new Error('broken');\n}\ntry {\n  load();\n} catch (error) {\n  console.log((error as Error).stack);\n}\n`;
      const { outputText, sourceMapText } = ts.transpileModule(source, {
        compilerOptions: { sourceMap: true, module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
        fileName: 'orders.ts',
      });
      await writeFile(join(folder, 'orders.ts'), source);
      await writeFile(join(folder, 'orders.js'), outputText);
      await writeFile(join(folder, 'orders.js.map'), sourceMapText!);
      const run = async (...flags: string[]) =>
        thrownAt((await promisify(execFile)(process.execPath, [...flags, join(folder, 'orders.js')])).stdout, 'broken');
      expect(await run('--enable-source-maps')).toEqual({ path: expect.stringMatching(/orders\.ts$/), line: 6 });
      expect(await run()).toEqual({ path: expect.stringMatching(/orders\.js$/), line: expect.any(Number) });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
