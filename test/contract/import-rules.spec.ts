/** The import rules are alive: each refuses the violation it was written for, and the library breaks none. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = process.cwd();
const CONFIG = '.ci/dependency-cruiser.cjs';

/** Rule, file, and its one import; the files on either side exist and are empty otherwise. */
const violations: [rule: string, file: string, source: string][] = [
  ['options-imports-what-is-below', 'lib/options/a.ts', `export * from '../conventions/empty.js';`],
  ['conventions-imports-what-is-below', 'lib/conventions/a.ts', `export type * from '../propagation/empty.js';`],
  ['propagation-imports-what-is-below', 'lib/propagation/b.ts', `export * from '../spans/empty.js';`],
  ['wrapping-imports-what-is-below', 'lib/wrapping/a.ts', `export * from '../spans/empty.js';`],
  ['spans-imports-what-is-below', 'lib/spans/b.ts', `export * from '../api/empty.js';`],
  ['api-imports-what-is-below', 'lib/api/a.ts', `export * from '../nest/empty.js';`],
  ['nest-imports-what-is-below', 'lib/nest/a.ts', `export const load = () => import('../testing/empty.js');`],
  ['integrations-imports-what-is-below', 'lib/integrations/kafka/a.ts', `export * from '../../viewer/empty.js';`],
  ['integrations-know-no-integration', 'lib/integrations/kafka/b.ts', `export * from '../bullmq/empty.js';`],
  ['integrations-know-no-integration', 'lib/integrations/kafka/c.ts', `export type * from '../list.js';`],
  ['wiring-names-integrations', 'lib/tracing.application.ts', `export * from './integrations/bullmq/empty.js';`],
  ['sdk-imports-no-hooks', 'lib/sdk/a.ts', `export * from '../api/empty.js';`],
  ['sdk-behind-the-application', 'lib/testing/b.ts', `export * from '../sdk/empty.js';`],
  ['entry-points', 'lib/viewer/b.ts', `export * from '../spans/empty.js';`],
  ['root-is-the-top', 'lib/sdk/b.ts', `export * from '../tracing.module.js';`],
  ['sdk-in-sdk-only', 'lib/spans/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-in-sdk-only', 'lib/wrapping/b.ts', `export type { Span } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-in-sdk-only', 'lib/integrations/kafka/d.ts', `export const sdk = () => import('@opentelemetry/core');`],
  ['sdk-in-sdk-only', 'lib/nest/b.ts', `export * from '@opentelemetry/resources';`],
  ['sdk-in-propagation', 'lib/propagation/a.ts', `export * from '@opentelemetry/resources';`],
  ['sdk-as-types', 'lib/options/b.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-as-types', 'lib/viewer/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['sdk-as-types', 'lib/testing/a.ts', `export { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';`],
  ['index-is-for-users', 'lib/tracing.module.ts', `export * from './index.js';`],
  ['nest-from-its-roots', 'lib/spans/c.ts', `export * from '@nestjs/core/router/router-explorer.js';`],
  ['nest-from-its-roots', 'lib/spans/d.ts', `export * from '@nestjs/common/constants.js';`],
  ['no-cycles', 'lib/spans/e.ts', `export * from './e.js';`],
  ['names-that-say-something', 'lib/spans/f.ts', `export * from './utils.js';`],
  ['names-that-say-something', 'test/a.ts', `export * from '../lib/common/empty.js';`],
  ['resolvable', 'lib/spans/h.ts', `export * from './nowhere.js';`],
  ['packages-users-have', 'lib/spans/i.ts', `export * from 'fast-check';`],
  ['packages-users-have', 'lib/spans/j.ts', `export * from 'express';`],
];

/** What the same folders may import. */
const allowed: [file: string, source: string][] = [
  [
    'lib/integrations/kafka/ok.ts',
    `export { trace } from '@opentelemetry/api'; export { Logger } from '@nestjs/common'; export * from 'node:http'; export * from './empty.js';
     export * from '../../spans/empty.js'; export * from '../../options/empty.js'; export const axios = () => import('axios');`,
  ],
  ['lib/integrations/list.ts', `export * from './kafka/ok.js'; export * from './bullmq/empty.js';`],
  ['lib/propagation/ok.ts', `export * from '@opentelemetry/propagator-b3'; export { W3CBaggagePropagator } from '@opentelemetry/core';`],
  [
    'lib/sdk/ok.ts',
    `export * from '@opentelemetry/sdk-trace-node'; export * from '../spans/empty.js'; export * from '../viewer/empty.js';`,
  ],
  ['lib/testing/ok.ts', `export type { SpanExporter } from '@opentelemetry/sdk-trace-node'; export * from '../viewer/empty.js';`],
  ['lib/options/ok.ts', `export type { SpanExporter } from '@opentelemetry/sdk-trace-node';`],
  ['test/ok.ts', `export * from '../lib/index.js'; export * from '@opentelemetry/sdk-trace-node'; export * from 'fast-check';`],
];

const empty = [
  'lib/index.ts',
  ...['options', 'conventions', 'propagation', 'wrapping', 'spans', 'api', 'nest', 'sdk', 'viewer', 'testing', 'common'].map(
    folder => `lib/${folder}/empty.ts`,
  ),
  'lib/integrations/kafka/empty.ts',
  'lib/integrations/bullmq/empty.ts',
  'lib/spans/utils.ts',
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
  });

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
  });
});
