// The cookie package as CommonJS: light-my-request (fastify.inject) requires one that is an ES module, which jest cannot do before Node 24.9.
const cookie = require('../node_modules/cookie/index.js');

module.exports = { ...cookie, stringifySetCookie: ({ name, value, ...options }) => cookie.serialize(name, value, options) };
