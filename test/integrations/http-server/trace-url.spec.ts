/** Specs of the link to the trace in a response. It exists only if there is a viewer. */
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Logger } from '@nestjs/common';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NoSpan } from '../../../lib/index.js';
import { call } from '../../viewer/server/viewers.js';
import { until } from '../../viewer/server/services.js';
import { type Adapter, adapters, startApplication } from './http-application.js';
import { freePort } from '../../../sample/runner/free-ports.js';

@Controller()
class WorkController {
  @Get('work')
  work(): string {
    return 'done';
  }

  @NoSpan()
  @Get('quiet')
  quiet(): string {
    return 'done';
  }
}

beforeEach(() => {
  for (const method of ['log', 'warn'] as const) jest.spyOn(Logger.prototype, method).mockImplementation(() => {});
});
afterEach(() => {
  jest.restoreAllMocks();
});

describe.each(adapters)('Responses on %s', (adapter: Adapter) => {
  it('link to their trace, where it can be looked at', async () => {
    const port = await freePort();
    const test = await startApplication(adapter, {
      controllers: [WorkController],
      tracing: { viewer: { port, inTest: true } },
      inbound: { ignore: '/ignored' },
    });
    try {
      await until(
        () => call(`http://127.0.0.1:${port}/api/status`),
        ({ status }) => status === 200,
      );
      const link = String((await test.request('/work')).headers['x-trace-url']);
      await test.recorder.waitForSpans(1);
      const { traceId } = test.recorder.spans[0]!.spanContext();
      expect(link).toBe(`http://127.0.0.1:${port}/trace/${traceId}`);
      expect((await call(link)).status).toBe(200);
      const stored = await until(
        () => call(`http://127.0.0.1:${port}/api/traces/${traceId}`),
        ({ status }) => status === 200,
      );
      expect(stored.json()).toMatchObject({ texts: expect.arrayContaining(['GET /work', 'inbound']) });
      for (const path of ['/quiet', '/ignored']) expect((await test.request(path)).headers['x-trace-url']).toBeUndefined();
    } finally {
      await test.close();
    }
    // The port is free when the application has closed.
    await expect(call(`http://127.0.0.1:${port}/api/status`)).rejects.toThrow('ECONNREFUSED');
  });

  it('link to nothing where the trace is not recorded, where there is no viewer, and where tracing is off', async () => {
    const port = await freePort();
    for (const tracing of [
      { viewer: { port, inTest: true }, sampler: 0 },
      {},
      { viewer: { port } },
      { viewer: { port }, enabled: false },
    ]) {
      const test = await startApplication(adapter, { controllers: [WorkController], tracing });
      try {
        expect((await test.request('/work')).headers['x-trace-url']).toBeUndefined();
      } finally {
        await test.close();
      }
    }
  });

  it('link to nothing where the port is another program’s', async () => {
    const foreign = createServer((_request, response) => response.end('hello')).unref();
    await new Promise<void>(resolve => void foreign.listen(0, '127.0.0.1', resolve));
    const { port } = foreign.address() as AddressInfo;
    const test = await startApplication(adapter, { controllers: [WorkController], tracing: { viewer: { port, inTest: true } } });
    try {
      await until(
        () => test.request('/work'),
        ({ headers }) => headers['x-trace-url'] === undefined,
      );
    } finally {
      await test.close();
      foreign.closeAllConnections();
      foreign.close();
    }
  });
});
