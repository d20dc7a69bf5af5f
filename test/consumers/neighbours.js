/** The kinds of consumer that have something else of OpenTelemetry, or the oldest of everything, installed beside the library. */
import { APPLICATION, application, compiledApplication } from './kinds.js';
import { run } from './workbench.js';

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

/** As those of kinds.js, and each with `packages` of its own. */
export const NEIGHBOURS = [
  { ...compiledApplication('app, oldest peers', 'commonjs', '11.1.4'), nests: ['11.1.4'], packages: () => OLDEST },
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
