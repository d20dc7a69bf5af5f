// The content-disposition package as CommonJS: @fastify/static, which mercurius loads, requires one that is an ES module.
module.exports = require('../node_modules/content-disposition/dist/index.js');
