/** `import` and `require` of the package reach the same classes and tokens in one process. */
import { TracingModule } from 'nestjs-tracing';
import { TraceRecorder } from 'nestjs-tracing/testing';
import { strictEqual } from 'node:assert';
import { createRequire } from 'node:module';
import { join } from 'node:path';

async function main(): Promise<void> {
  const required = createRequire(join(process.cwd(), 'index.js'));
  for (const entry of ['nestjs-tracing', 'nestjs-tracing/testing', 'nestjs-tracing/viewer']) {
    const byImport = (await import(entry)) as Record<string, unknown>;
    const byRequire = required(entry) as Record<string, unknown>;
    for (const name of Object.keys(byImport)) strictEqual(byRequire[name], byImport[name], `${name} of ${entry} exists twice`);
  }
  strictEqual((required('nestjs-tracing') as { TracingModule: unknown }).TracingModule, TracingModule);
  strictEqual((required('nestjs-tracing/testing') as { TraceRecorder: unknown }).TraceRecorder, TraceRecorder);
  console.log('one copy ok');
}

void main();
