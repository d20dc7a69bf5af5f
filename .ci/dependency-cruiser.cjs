/** The import rules of lib/ (CONTRIBUTING.md, "Imports"). Each rule is an error. Run: npm run lint:imports */
const SDK = '(^|/)@opentelemetry/(?!api(/|$))';
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });
const lib = (...folders) => `^lib/(${folders.join('|')})/`;

/** From bottom to top. Each folder may import those before it. */
const LAYERS = ['options', 'conventions', 'propagation', 'wrapping', 'spans', 'api', 'nest', 'integrations'];

module.exports = {
  forbidden: [
    rule('no-cycles', 'A cycle means two files are one idea.', {}, { circular: true }),
    rule(
      'resolvable',
      'An import must resolve to a file; the exporter over gRPC is not installed here.',
      {},
      { couldNotResolve: true, pathNot: '^@opentelemetry/exporter-trace-otlp-grpc$' },
    ),
    ...LAYERS.map((layer, place) =>
      rule(
        `${layer}-imports-what-is-below`,
        `lib/${layer} imports ${LAYERS.slice(0, place).join(', ') || 'nothing else of lib/'}.`,
        { path: lib(layer) },
        { path: '^lib/', pathNot: lib(...LAYERS.slice(0, place + 1)) },
      ),
    ),
    rule(
      'integrations-know-no-integration',
      'A technology is one folder; what two of them share belongs below.',
      { path: '^lib/integrations/([^/]+)/' },
      { path: '^lib/integrations/', pathNot: '^lib/integrations/$1/' },
    ),
    rule(
      'wiring-names-integrations',
      'Only the list of integrations, the module and the public names know that they exist.',
      { path: '^lib/', pathNot: '^lib/(integrations/|tracing[.]module[.]ts$|index[.]ts$)' },
      { path: lib('integrations') },
    ),
    rule(
      'sdk-imports-no-hooks',
      'What makes and exports spans knows neither Nest nor what is traced.',
      { path: lib('sdk') },
      { path: lib('api', 'nest', 'integrations') },
    ),
    rule(
      'sdk-behind-the-application',
      'Only the application builds the pipeline.',
      { path: lib(...LAYERS, 'viewer', 'testing') },
      { path: lib('sdk') },
    ),
    rule(
      'entry-points',
      'viewer/ and testing/ are packages of their own.',
      { path: lib('viewer', 'testing') },
      { path: lib('spans', 'api', 'nest', 'integrations') },
    ),
    rule(
      'root-is-the-top',
      'The module, the application and the public names are imported by users and by each other.',
      { path: '^lib/[^/]+/' },
      { path: '^lib/[^/]+$' },
    ),
    rule(
      'sdk-in-sdk-only',
      'Instrumentation is written against @opentelemetry/api, so that it works with whatever SDK is registered.',
      { path: '^lib/', pathNot: lib('sdk', 'propagation', 'options', 'viewer', 'testing') },
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
      'options/, viewer/ and testing/ know the SDK as types; a user may run another one.',
      { path: lib('options', 'viewer', 'testing') },
      { path: SDK, dependencyTypesNot: ['type-only'] },
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
      // The page is bundled. Its build script is not published.
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
