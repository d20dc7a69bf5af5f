/** Measures what a call of a traced method costs, against a span written by hand and against no span, in blocks that take turns. */
import { setImmediate } from 'node:timers';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { Span, Tracer, TracingModule } from 'nestjs-tracing';
import { droppingExporter } from './dropping.exporter.mjs';
import { answer, tell } from './parent.mjs';

// Fewer than a batch holds, so that exporting happens between the blocks.
const CALLS_PER_BLOCK = 400;
const WARM_UP_BLOCKS = 100;
const turn = () => new Promise(resolve => setImmediate(resolve));

/** 'recording': in a span of an application that is traced; 'nothing': no module, no SDK; 'disabled': a module with `enabled: false`. */
const [scenario] = process.argv.slice(2);
Logger.overrideLogger(['error', 'warn']);
const tracer = trace.getTracer('by-hand');

class Users {
  plainSync(id) {
    return id + 1;
  }

  async plainAsync(id) {
    return (await id) + 1;
  }

  spanSync(id) {
    return this.plainSync(id);
  }

  spanAsync(id) {
    return this.plainAsync(id);
  }

  handSync(id) {
    return tracer.startActiveSpan('Users.handSync', span => {
      try {
        return this.plainSync(id);
      } catch (error) {
        fail(span, error);
        throw error;
      } finally {
        span.end();
      }
    });
  }

  handAsync(id) {
    return tracer.startActiveSpan('Users.handAsync', async span => {
      try {
        return await this.plainAsync(id);
      } catch (error) {
        fail(span, error);
        throw error;
      } finally {
        span.end();
      }
    });
  }
}
for (const method of ['spanSync', 'spanAsync']) {
  const descriptor = Object.getOwnPropertyDescriptor(Users.prototype, method);
  Object.defineProperty(Users.prototype, method, Span()(Users.prototype, method, descriptor) ?? descriptor);
}

const users = new Users();
const blocks = {
  plainSync: () => runSync(id => users.plainSync(id)),
  handSync: () => runSync(id => users.handSync(id)),
  spanSync: () => runSync(id => users.spanSync(id)),
  plainAsync: () => runAsync(id => users.plainAsync(id)),
  handAsync: () => runAsync(id => users.handAsync(id)),
  spanAsync: () => runAsync(id => users.spanAsync(id)),
};

const inScenario = await enterScenario();
await measure(WARM_UP_BLOCKS);
answer({ measure: async ({ rounds }) => ({ ns: await measure(rounds) }) });
tell({});

async function enterScenario() {
  if (scenario === 'nothing') return work => work();
  class AppModule {}
  Module({ imports: [TracingModule.forRoot({ enabled: scenario !== 'disabled', exporter: droppingExporter })] })(AppModule);
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
  return work => app.get(Tracer).span('request', work);
}

/** One list of ns per call and kind of method; a round visits all kinds, each time from another one on. */
async function measure(rounds) {
  const names = Object.keys(blocks);
  const ns = Object.fromEntries(names.map(name => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      ns[name].push((await inScenario(blocks[name])) / CALLS_PER_BLOCK);
      // The batch processor exports in a turn of its own.
      await turn();
      await turn();
    }
  }
  return ns;
}

function runSync(call) {
  const start = process.hrtime.bigint();
  for (let id = 0; id < CALLS_PER_BLOCK; id++) call(id);
  return Number(process.hrtime.bigint() - start);
}

async function runAsync(call) {
  const start = process.hrtime.bigint();
  for (let id = 0; id < CALLS_PER_BLOCK; id++) await call(id);
  return Number(process.hrtime.bigint() - start);
}

function fail(span, error) {
  span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
}
