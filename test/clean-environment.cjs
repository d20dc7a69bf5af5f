/**
 * Node as the environment of specs, with a look at the end: an application that a file leaves open would trace the calls of all later files.
 * That file fails, with the spec that was running when it began to and where it came from; later files are spared.
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
    const wasListening = unsubscribe(name, listener);
    if (name === CREATE && wasListening) followed.origins.delete(listener);
    return wasListening;
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
    const left = [...listeners.origins.values()];
    for (const listener of listeners.origins.keys()) diagnostics.unsubscribe(CREATE, listener);
    await super.teardown();
    if (left.length > 0) throw new Error(`An application is left open, calls by fetch are still traced. ${left.join('\n')}`);
  }
};
