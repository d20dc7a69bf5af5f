/**
 * Node as the environment of specs, with a look at the end: an application that a file leaves open would trace the calls of all later files.
 * It is told which spec was running when it began to, and from where, and later files are spared.
 */
const diagnostics = require('node:diagnostics_channel');
const { TestEnvironment } = require('jest-environment-node');

const CREATE = 'undici:request:create';
const { subscribe, unsubscribe } = diagnostics;
/** Of this process: core modules are the same for all files. */
const listeners = (process[Symbol.for('nestjs-tracing/specs/listeners')] ??= followListeners());

function followListeners() {
  const followed = { running: '', origins: new Map() };
  diagnostics.subscribe = (name, listener) => {
    if (name === CREATE) followed.origins.set(listener, new Error(`while this ran: ${followed.running}`).stack);
    subscribe(name, listener);
  };
  diagnostics.unsubscribe = (name, listener) => {
    if (name === CREATE) followed.origins.delete(listener);
    return unsubscribe(name, listener);
  };
  return followed;
}

module.exports = class extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.testPath = context.testPath;
    listeners.running = this.testPath;
  }

  handleTestEvent(event) {
    if (event.name === 'test_start') listeners.running = `${this.testPath}, "${event.test.name}"`;
  }

  async teardown() {
    for (const [listener, origin] of listeners.origins) {
      diagnostics.unsubscribe(CREATE, listener);
      process.stderr.write(`LEFT OPEN by ${this.testPath}: calls by fetch are still traced. ${origin}\n`);
    }
    await super.teardown();
  }
};
