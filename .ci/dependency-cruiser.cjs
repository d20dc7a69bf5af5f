/** Who may import whom in lib/ (CONTRIBUTING.md, "Imports"); each rule is an error. Run: npm run lint:imports */
const SDK = '(^|/)@opentelemetry/(?!api(/|$))';
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });
const lib = (...folders) => `^lib/(${folders.join('|')})/`;

module.exports = {
  forbidden: [
    rule('no-cycles', 'A cycle means two files are one idea.', {}, { circular: true }),
    rule(
      'resolvable',
      'An import must resolve to a file; the exporter over gRPC is not installed here.',
      {},
      { couldNotResolve: true, pathNot: '^@opentelemetry/exporter-trace-otlp-grpc$' },
    ),
    rule(
      'sdk-in-pipeline-only',
      'Instrumentation is written against @opentelemetry/api, so that it works with whatever SDK is registered.',
      { path: '^lib/', pathNot: lib('pipeline', 'propagation', 'viewer', 'testing') },
      { path: SDK },
    ),
    rule(
      'sdk-in-propagation',
      'propagation/ takes the B3 and baggage propagators from OpenTelemetry, nothing else.',
      { path: lib('propagation') },
      { path: SDK, pathNot: '@opentelemetry/(propagator-b3|core)(/|$)' },
    ),
    rule(
      'sdk-as-types',
      'viewer/ and testing/ know the SDK as types; a user may run another one.',
      { path: lib('viewer', 'testing') },
      { path: SDK, dependencyTypesNot: ['type-only'] },
    ),
    rule('inbound-not-outbound', 'The two sides do not know each other.', { path: lib('inbound') }, { path: lib('outbound') }),
    rule('outbound-not-inbound', 'The two sides do not know each other.', { path: lib('outbound') }, { path: lib('inbound') }),
    rule(
      'local-and-conventions-know-no-side',
      'What is local, and what things are called, does not depend on where work comes from or goes to.',
      { path: lib('local', 'conventions') },
      { path: lib('inbound', 'outbound') },
    ),
    rule('index-is-for-users', 'lib/index.ts is imported by users and tests.', { path: '^lib/' }, { path: '^lib/index\\.ts$' }),
    rule(
      'nest-from-its-roots',
      'Deep paths of Nest break between majors.',
      { path: '^(lib|sample)/' },
      { path: '(^|/)@nestjs/[^/]+/(?!(?:dist/)?index[.](js|d[.]ts)$)' },
    ),
    rule(
      'names-that-say-something',
      'A file is called after what it does.',
      {},
      { path: '^(lib|sample|test)/.*(?<=/)(utils?|common|shared|types|interfaces|helpers?|misc|core)(/|[.])' },
    ),
    rule(
      'packages-users-have',
      'lib/ imports dependencies and peers; dev dependencies are not there at a user.',
      // The page is bundled; its build is not shipped.
      { path: '^lib/', pathNot: '^lib/viewer/page/' },
      { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm', 'npm-peer', 'type-only'] },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/|^test/(consumers/app|foreign/sdk3)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
