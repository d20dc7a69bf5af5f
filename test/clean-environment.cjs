/**
 * The Node environment for specs. At the end of each file it checks two things. An open application would trace the calls of later files. A
 * connection to a default port depends on the machine. If a check fails, that file fails with the running spec and the origin; later files
 * are not affected. A file that never ends is stopped.
 */
const diagnostics = require('node:diagnostics_channel');
const { mkdtempSync, readdirSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { createCoverageMap } = require('istanbul-lib-coverage');
const { TestEnvironment } = require('jest-environment-node');
const watchMachinePorts = require('./machine-ports.cjs');
const watchdog = require('./watchdog.cjs');

const CREATE = 'undici:request:create';
const ANSWER = 'http.client.response.finish';
const { subscribe, unsubscribe } = diagnostics;
/** One for the process, because all files share the core modules. */
const listeners = (process[Symbol.for('nestjs-tracing/specs/listeners')] ??= followListeners());

function followListeners() {
  const followed = { running: '', origins: new Map(), channels: new Set() };
  // Node forgets a channel when an earlier one of the same name is collected. A library of this file and this package would then have two.
  for (const make of ['channel', 'tracingChannel']) {
    const original = diagnostics[make];
    diagnostics[make] = name => {
      const made = original(name);
      followed.channels.add(made);
      return made;
    };
  }
  diagnostics.subscribe = (name, listener) => {
    if (name === CREATE || name === ANSWER) followed.origins.set(listener, new Error(`while this ran: ${followed.running}`).stack);
    subscribe(name, listener);
  };
  diagnostics.unsubscribe = (name, listener) => {
    const wasListening = unsubscribe(name, listener);
    if ((name === CREATE || name === ANSWER) && wasListening) followed.origins.delete(listener);
    return wasListening;
  };
  return followed;
}

module.exports = class extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.testPath = context.testPath;
    listeners.running = this.testPath;
    this.strayed = new Map();
    this.forgetPorts = watchMachinePorts(error => this.strayed.set(error.message, `${error.stack}\nwhile this ran: ${listeners.running}`));
    watchdog.fileBegins(this.testPath);
    if (config.globalConfig.collectCoverage) this.counts = mkdtempSync(join(tmpdir(), 'nestjs-tracing-coverage-'));
    for (const { env } of [process, this.global.process]) {
      if (this.counts === undefined) delete env.SPEC_COVERAGE_FOLDER;
      else env.SPEC_COVERAGE_FOLDER = this.counts;
    }
  }

  handleTestEvent(event) {
    if (event.name === 'run_finish' && this.counts !== undefined) this.addCounts();
    if (event.name !== 'test_start') return;
    listeners.running = `${this.testPath}, "${event.test.name}"`;
    watchdog.testBegins(event.test.name);
  }

  /** Adds the coverage of other processes that this file started (own-process.ts). */
  addCounts() {
    const all = createCoverageMap(JSON.parse(JSON.stringify(this.global.__coverage__ ?? {})));
    const complete = readdirSync(this.counts).filter(file => file.endsWith('.json'));
    for (const file of complete) all.merge(JSON.parse(readFileSync(join(this.counts, file), 'utf8')));
    this.global.__coverage__ = JSON.parse(JSON.stringify(all));
    rmSync(this.counts, { recursive: true, force: true, maxRetries: 5 });
  }

  async teardown() {
    const left = [...listeners.origins.values()];
    for (const listener of listeners.origins.keys()) for (const name of [CREATE, ANSWER]) diagnostics.unsubscribe(name, listener);
    this.forgetPorts();
    await super.teardown();
    watchdog.fileEnds(this.testPath);
    if (this.strayed.size > 0) throw new Error([...this.strayed.values()].join('\n'));
    if (left.length > 0) throw new Error(`An application is left open, its calls are still traced. ${left.join('\n')}`);
  }
};
