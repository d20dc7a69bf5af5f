/** Node as the environment of specs, with a look at the end: an application that a file leaves open would trace the calls of all later files. */
const { channel } = require('node:diagnostics_channel');
const { TestEnvironment } = require('jest-environment-node');

module.exports = class extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.testPath = context.testPath;
  }

  async teardown() {
    const isOpen = channel('undici:request:create').hasSubscribers;
    await super.teardown();
    if (isOpen) throw new Error(`${this.testPath} leaves an application open: calls by fetch are still traced.`);
  }
};
