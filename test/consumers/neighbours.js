/** The kinds of consumer that have something else of OpenTelemetry, or the oldest of everything, installed beside the library. */
import { APPLICATION, application, compile, compiledApplication } from './kinds.js';
import { run } from './workbench.js';

const INSTRUMENTATIONS_OF_SDK_2 = {
  '@opentelemetry/instrumentation': '0.223.0',
  '@opentelemetry/instrumentation-http': '0.223.0',
  '@opentelemetry/instrumentation-undici': '0.33.0',
};
const INSTRUMENTATIONS_OF_SDK_3 = {
  '@opentelemetry/instrumentation': '0.301.0',
  '@opentelemetry/instrumentation-http': '0.301.0',
  '@opentelemetry/instrumentation-undici': '0.34.0',
};
const API_OF_SDK_3 = { '@opentelemetry/api': '1.10.0' };
const NODES_OF_SDK_3 = ['22', '24'];
const GRPC_EXPORTER = '@opentelemetry/exporter-trace-otlp-grpc';

const OLDEST = {
  ...application({ common: '11.1.4', core: '11.1.4', 'platform-express': '11.1.4', testing: '11.1.4', axios: '4.0.0' }),
  '@opentelemetry/api': '1.9.0',
  axios: '1.3.1',
  'reflect-metadata': '0.2.0',
  rxjs: '7.8.0',
};

/** Who makes the spans of a request, of its call through HttpService, and of one through fetch. */
const OURS = 'nestjs-tracing, nestjs-tracing, nestjs-tracing';
const THEIRS = 'instrumentation-http, instrumentation-http, instrumentation-undici';

/** As those of kinds.js, and each with `packages` of its own. */
export const NEIGHBOURS = [
  { ...compiledApplication('app, oldest peers', 'commonjs', '11.1.4'), nests: ['11.1.4'], packages: () => OLDEST },
  besideInstrumentations('commonjs', '11'),
  besideInstrumentations('module', '12', '12'),
  besideSdk('beside SDK 2', ['11', '12'], undefined, { '@opentelemetry/sdk-node': '0.223.0', ...INSTRUMENTATIONS_OF_SDK_2 }),
  {
    ...besideSdk('beside SDK 3', ['11', '12'], '12', {
      ...API_OF_SDK_3,
      '@opentelemetry/sdk-node': '0.301.0',
      ...INSTRUMENTATIONS_OF_SDK_3,
    }),
    nodes: NODES_OF_SDK_3,
  },
  { ...exportOverGrpc('export over gRPC', { [GRPC_EXPORTER]: '0.223.0' }), ci: '12' },
  {
    ...exportOverGrpc('export over gRPC, SDK 3', { ...API_OF_SDK_3, [GRPC_EXPORTER]: '0.301.0' }),
    nodes: NODES_OF_SDK_3,
  },
  {
    // Among the packages that kinds share, where the exporter is not.
    name: 'export over gRPC, not installed',
    nests: ['12'],
    ci: '12',
    type: 'module',
    run: (node, folder) =>
      run(node, ['src/export-grpc.mjs'], { cwd: folder }).then(
        output => Promise.reject(new Error(`the application started without its exporter: ${output}`)),
        error => error.message,
      ),
    proof: new RegExp(`needs the package "${GRPC_EXPORTER}", which is not installed\\. Run "npm i ${GRPC_EXPORTER}@0\\.223"`),
  },
];

/** The built-in provider beside the instrumentations of SDK 2: preloaded, registered once our module is loaded, or once the application listens. */
function besideInstrumentations(type, nest, ci) {
  const file = 'src/instrumentations.mjs';
  return {
    name: 'beside instrumentation-http, -undici',
    nests: [nest],
    ci,
    type,
    packages: () => ({ ...APPLICATION[nest], ...INSTRUMENTATIONS_OF_SDK_2 }),
    prepare: compile,
    run: async (node, folder) => {
      const preloaded = await beside(node, folder, [file], file, 'loaded');
      const loaded = await beside(node, folder, [], file, 'loaded');
      return preloaded + loaded + (await beside(node, folder, [], file, 'listening'));
    },
    proof: new RegExp(`(by ${THEIRS}; then ${THEIRS}\\n[^]*){3}`),
  };
}

/** A NodeSDK that is there before anything else is loaded, alone and with the instrumentations of its line. */
function besideSdk(name, nests, ci, packages) {
  const file = 'src/sdk.mjs';
  return {
    name,
    nests,
    ci,
    type: 'commonjs',
    packages: nest => ({ ...APPLICATION[nest], ...packages }),
    prepare: compile,
    run: async (node, folder) => {
      const alone = await beside(node, folder, [file], file, 'loaded');
      return alone + (await beside(node, folder, [file, 'src/instrumentations.mjs'], file, 'loaded'));
    },
    proof: new RegExp(`by ${OURS}; then ${OURS}\\n[^]*by ${THEIRS}; then ${THEIRS}\\n`),
  };
}

/** The built-in provider, and an exporter that is an optional peer. */
function exportOverGrpc(name, packages) {
  return {
    name,
    nests: ['12'],
    type: 'module',
    packages: nest => ({ ...APPLICATION[nest], ...packages }),
    run: (node, folder) => run(node, ['src/export-grpc.mjs'], { cwd: folder }),
    proof: /gRPC export works/,
  };
}

/** Runs dist/beside.js with files preloaded; it registers `file` once something is so. */
function beside(node, folder, preloaded, file, when) {
  const flags = preloaded.flatMap(name => ['--import', `./${name}`]);
  return run(node, [...flags, 'dist/beside.js', file, when], { cwd: folder });
}
