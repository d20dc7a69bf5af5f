/** Pipelines for specs: built as the module builds them, shut down after each test; what the Logger is told is kept. */
import { afterEach, beforeEach, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { createPipeline, type Pipeline } from '../../lib/sdk/pipeline.js';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { resolveOptions } from '../../lib/options/resolved-options.js';

const running: Pipeline[] = [];
const changed = new Map<string, string | undefined>();

/** What has been said through Nest's Logger in this test. */
export const said: string[] = [];

beforeEach(() => {
  said.length = 0;
  for (const method of ['warn', 'error', 'log', 'debug', 'verbose'] as const) {
    jest.spyOn(Logger.prototype, method).mockImplementation((message: unknown) => void said.push(String(message)));
  }
});

afterEach(async () => {
  await Promise.all(running.splice(0).map(pipeline => pipeline.shutdown()));
  for (const [name, value] of changed) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  changed.clear();
  jest.restoreAllMocks();
});

/** The pipeline of an application with these options, in the environment of this test. */
export async function startPipeline(options: TracingOptions = {}): Promise<Pipeline> {
  const pipeline = await createPipeline(resolveOptions(options));
  running.push(pipeline);
  return pipeline;
}

/** Sets environment variables until the end of the test. */
export function setEnvironment(variables: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (!changed.has(name)) changed.set(name, process.env[name]);
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
