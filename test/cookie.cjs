// Provides the package cookie as CommonJS. light-my-request (fastify.inject) requires it, but it is an ES module. Jest cannot require one
// before Node 24.9.
const cookie = require('../node_modules/cookie/index.js');

module.exports = { ...cookie, stringifySetCookie: ({ name, value, ...options }) => cookie.serialize(name, value, options) };
