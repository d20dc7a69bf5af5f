/** The kinds of consumer that have something else of OpenTelemetry, or the oldest of everything, installed beside the library. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { APPLICATION, application, compile, compiledApplication } from './kinds.js';
import { run, write } from './workbench.js';

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
/** Libraries and the instrumentations that trace them. */
const INSTRUMENTED = {
  '@aws-sdk/client-sqs': '3.1175.0',
  ioredis: '6.0.0',
  mongodb: '7.9.0',
  openai: '6.49.0',
  pg: '8.23.1',
  '@opentelemetry/instrumentation': '0.223.0',
  '@opentelemetry/instrumentation-aws-sdk': '0.78.0',
  '@opentelemetry/instrumentation-ioredis': '0.71.0',
  '@opentelemetry/instrumentation-mongodb': '0.76.0',
  '@opentelemetry/instrumentation-openai': '0.21.0',
  '@opentelemetry/instrumentation-pg': '0.76.0',
};
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
  // Two builds of one API: instrumentations have the one for CommonJS, the application that for ES modules.
  {
    ...besideInstrumentations('module', '12', '12', { '@opentelemetry/api': '1.10.0' }),
    name: 'beside instrumentation-http, -undici, API 1.10',
  },
  besideSdk('beside SDK 2', ['11', '12'], undefined, { '@opentelemetry/sdk-node': '0.223.0', ...INSTRUMENTATIONS_OF_SDK_2 }),
  {
    ...besideSdk('beside SDK 3', ['11', '12'], '12', {
      ...API_OF_SDK_3,
      '@opentelemetry/sdk-node': '0.301.0',
      ...INSTRUMENTATIONS_OF_SDK_3,
    }),
    nodes: NODES_OF_SDK_3,
  },
  instrumented('instrumentations, require', 'commonjs'),
  instrumented('instrumentations, import', 'module', '12'),
  {
    name: 'MikroORM 7',
    nests: ['12'],
    nodes: ['22', '24'],
    type: 'module',
    packages: () => ({ ...APPLICATION['12'], '@mikro-orm/core': '7.2.5', '@mikro-orm/postgresql': '7.2.5' }),
    run: (node, folder) => run(node, ['src/mikro-orm.mjs'], { cwd: folder }),
    proof: /^MikroORM 7(: BEGIN, SELECT users, UPDATE users, COMMIT; 23505, 23502; no leak; 0 after| is skipped: .*)\n$/,
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
function besideInstrumentations(type, nest, ci, packages) {
  const file = 'src/instrumentations.mjs';
  return {
    name: 'beside instrumentation-http, -undici',
    nests: [nest],
    ci,
    type,
    packages: () => ({ ...APPLICATION[nest], ...INSTRUMENTATIONS_OF_SDK_2, ...packages }),
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

/** The option `instrumentations` in an application whose libraries are loaded before it: with `nestjs-tracing/register`, and without. */
function instrumented(name, type, ci) {
  const extension = type === 'module' ? 'mjs' : 'cjs';
  const calls = [
    'pg.query:SELECT postgres by pg',
    'find orders by mongodb',
    'get by ioredis',
    'SQS.GetQueueUrl by aws-sdk',
    'chat tiny by openai',
  ];
  // Without the flag, an instrumentation does not see ES modules.
  const alone = type === 'module' ? calls.slice(0, -1) : calls;
  return {
    name,
    nests: ['11', '12'],
    ci,
    type,
    packages: nest => ({ ...APPLICATION[nest], ...INSTRUMENTED }),
    files(folder) {
      const dependencies = Object.fromEntries(Object.keys(INSTRUMENTED).map(dependency => [dependency, '*']));
      write(join(folder, 'package.json'), JSON.stringify({ name: 'calls', version: '1.0.0', private: true, type, dependencies }));
      if (type === 'module') return;
      for (const file of ['instrumented', 'services']) {
        const source = readFileSync(join(folder, `src/${file}.mjs`), 'utf8').replaceAll(".mjs'", ".cjs'");
        const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true };
        write(join(folder, `src/${file}.cjs`), ts.transpileModule(source, { compilerOptions }).outputText);
      }
    },
    run: async (node, folder) => {
      const main = `src/instrumented.${extension}`;
      const quiet = { cwd: folder, env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' } };
      const flagged = await run(node, ['--import', 'nestjs-tracing/register', main], quiet);
      return flagged + (await run(node, [main], quiet));
    },
    proof: new RegExp(`^Hi: ${calls.join(', ')}\\nHi: ${alone.join(', ')}(, POST by nestjs-tracing)?\\n$`),
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
