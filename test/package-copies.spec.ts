/** Two copies of this package in one process: a library has its own copy as a dependency. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { programOf } from './own-process.js';

let built: string;
let folder: string;
beforeAll(async () => {
  built = await programOf('lib/index.ts');
});
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'nestjs-tracing-')));
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Returns the output of a process that imports the module from one copy and injects the Tracer of another. */
function outputOf(tracerOf: string): Promise<string> {
  for (const copy of ['own/tracing.mjs', 'shared/tracing.mjs']) {
    mkdirSync(dirname(join(folder, copy)));
    cpSync(built, join(folder, copy));
  }
  writeFileSync(
    join(folder, 'main.mjs'),
    `import { Module } from '@nestjs/common';
     import { NestFactory } from '@nestjs/core';
     import { TracingModule } from './own/tracing.mjs';
     import { Tracer } from './${tracerOf}/tracing.mjs';
     class Orders {}
     Reflect.defineMetadata('design:paramtypes', [Tracer], Orders);
     class AppModule {}
     Module({ imports: [TracingModule.forRoot({ exporter: 'none' })], providers: [Orders] })(AppModule);
     await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] }).then(app => app.close());`,
  );
  return new Promise(resolve => {
    const env = { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' };
    execFile(process.execPath, ['main.mjs'], { cwd: folder, env }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe('a Tracer of another copy of the package', () => {
  it('is what the log names where Nest cannot resolve it', async () => {
    const output = await outputOf('shared');
    expect(output).toContain("Nest can't resolve dependencies of the Orders (?)");
    expect(output).toContain(`Several copies of nestjs-tracing are loaded: 0.1.0 in `);
    for (const copy of ['own', 'shared']) expect(output).toContain(`0.1.0 in ${join(folder, copy, 'tracing.mjs')}`);
  });

  it('is not spoken of where there is one copy', async () => {
    expect(await outputOf('own')).toBe('');
  });
});
