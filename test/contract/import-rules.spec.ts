/** The import rules are alive: each refuses the violation it was written for, and the library breaks none. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = process.cwd();
const CONFIG = '.ci/dependency-cruiser.cjs';

/** Rule, file, and its one import; the files on either side exist and are empty otherwise. */
const violations: [rule: string, file: string, source: string][] = [
  ['sdk-in-pipeline-only', 'lib/inbound/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-in-pipeline-only', 'lib/local/a.ts', `export type { Span } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-in-pipeline-only', 'lib/outbound/a.ts', `export const sdk = () => import('@opentelemetry/core');`],
  ['sdk-in-pipeline-only', 'lib/logs/a.ts', `export * from '@opentelemetry/resources';`],
  ['sdk-in-propagation', 'lib/propagation/a.ts', `export * from '@opentelemetry/resources';`],
  ['sdk-as-types', 'lib/viewer/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-as-types', 'lib/testing/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['inbound-not-outbound', 'lib/inbound/b.ts', `export * from '../outbound/empty.js';`],
  ['outbound-not-inbound', 'lib/outbound/b.ts', `export * from '../inbound/empty.js';`],
  ['local-and-conventions-know-no-side', 'lib/local/b.ts', `export * from '../inbound/empty.js';`],
  ['local-and-conventions-know-no-side', 'lib/conventions/b.ts', `export type * from '../outbound/empty.js';`],
  ['index-is-for-users', 'lib/pipeline/b.ts', `export * from '../index.js';`],
  ['nest-from-its-roots', 'lib/local/c.ts', `export * from '@nestjs/core/router/router-explorer.js';`],
  ['nest-from-its-roots', 'lib/local/d.ts', `export * from '@nestjs/common/constants.js';`],
  ['no-cycles', 'lib/local/e.ts', `export * from './e.js';`],
  ['names-that-say-something', 'lib/local/f.ts', `export * from './utils.js';`],
  ['names-that-say-something', 'lib/local/g.ts', `export * from '../common/empty.js';`],
  ['resolvable', 'lib/local/h.ts', `export * from './nowhere.js';`],
  ['packages-users-have', 'lib/local/i.ts', `export * from 'fast-check';`],
  ['packages-users-have', 'lib/local/j.ts', `export * from 'express';`],
];

/** What the same folders may import. */
const allowed: [file: string, source: string][] = [
  ['lib/inbound/ok.ts', `export { trace } from '@opentelemetry/api'; export { Logger } from '@nestjs/common'; export * from 'node:http';`],
  ['lib/outbound/ok.ts', `export const axios = () => import('axios'); export * from '../local/empty.js';`],
  ['lib/propagation/ok.ts', `export * from '@opentelemetry/propagator-b3'; export { W3CBaggagePropagator } from '@opentelemetry/core';`],
  ['lib/pipeline/ok.ts', `export * from '@opentelemetry/sdk-trace-node';`],
  ['lib/testing/ok.ts', `export type { SpanExporter } from '@opentelemetry/sdk-trace-node';`],
  ['test/ok.ts', `export * from '../lib/index.js'; export * from '@opentelemetry/sdk-trace-node'; export * from 'fast-check';`],
];

const empty = [
  'lib/index.ts',
  'lib/inbound/empty.ts',
  'lib/outbound/empty.ts',
  'lib/local/empty.ts',
  'lib/local/utils.ts',
  'lib/common/empty.ts',
];

interface Violation {
  from: string;
  rule: { name: string; severity: string };
}

function cruise(directory: string, folders: string[]): Violation[] {
  const bin = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const run = spawnSync(process.execPath, [bin, '--config', CONFIG, '--output-type', 'json', ...folders], {
    cwd: directory,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  return (JSON.parse(run.stdout) as { summary: { violations: Violation[] } }).summary.violations;
}

describe('Import rules', () => {
  let directory: string;
  let found: Violation[];

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'import-rules-'));
    for (const file of ['package.json', 'tsconfig.json', CONFIG]) cpSync(join(root, file), join(directory, file));
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'), 'dir');
    const write = (file: string, source: string) => {
      mkdirSync(dirname(join(directory, file)), { recursive: true });
      writeFileSync(join(directory, file), source);
    };
    for (const file of empty) write(file, 'export {};');
    for (const [, file, source] of violations) write(file, source);
    for (const [file, source] of allowed) write(file, source);
    found = cruise(directory, ['lib', 'test']);
  }, 60_000);

  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it.each(violations)('%s refuses what %s imports: %s', (rule, file) => {
    expect(found.filter(violation => violation.from === file).map(violation => violation.rule)).toEqual([
      expect.objectContaining({ name: rule, severity: 'error' }),
    ]);
  });

  it.each(allowed)('let %s import what it needs: %s', file => {
    expect(found.filter(violation => violation.from === file)).toEqual([]);
  });

  it('are kept by the library, its specs and its samples', () => {
    const broken = cruise(root, ['lib', 'test', 'sample']).map(({ from, rule }) => `${from}: ${rule.name}`);
    expect(broken).toEqual([]);
  }, 60_000);
});
