/** The default ports of brokers, collectors and applications. Specs must not depend on programs that use them on a developer's machine. */
const { Server, Socket } = require('node:net');

const DEFAULTS = new Set([80, 443, 1883, 3000, 4222, 4317, 4318, 5672, 6379, 8080, 9092, 9411, 50051]);
const LOCAL = /^(localhost|127\.|::1$|::$|0\.0\.0\.0$)/;

/** Calls `found` when this process connects to one of these ports or listens on one. Returns a function that stops it. */
module.exports = function watchMachinePorts(found) {
  const undo = [];
  for (const [prototype, method, what] of [
    [Socket.prototype, 'connect', 'A connection to'],
    [Server.prototype, 'listen', 'A server on'],
  ]) {
    const original = prototype[method];
    prototype[method] = function (...args) {
      const { host, port } = placeOf(args);
      if (DEFAULTS.has(port) && LOCAL.test(host ?? 'localhost'))
        found(new Error(`${what} port ${port}, which belongs to the machine and not to the specs`));
      return original.apply(this, args);
    };
    undo.push(() => (prototype[method] = original));
  }
  return () => undo.forEach(step => step());
};

/** Node passes normalized arguments as an array. */
function placeOf([first, second]) {
  const given = Array.isArray(first) ? first[0] : first;
  // A path belongs to a Unix socket.
  if (typeof given === 'object' && given !== null) return { host: given.host, port: given.path ? NaN : Number(given.port) };
  return { host: typeof second === 'string' ? second : undefined, port: Number(given) };
}
