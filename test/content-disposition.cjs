// Provides the package content-disposition as CommonJS. @fastify/static, which mercurius loads, requires it, but it is an ES module.
module.exports = require('../node_modules/content-disposition/dist/index.js');
