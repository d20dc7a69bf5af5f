/**
 * Runs the specs as ES modules, like Nest 12. ts-jest only transpiles (`isolatedModules`); `npm run typecheck` checks the types. Unlike
 * swc, it writes decorator metadata with the compiler that builds the package, and a warm run is as fast.
 *
 * @type {import('jest').Config}
 */
export default {
  testEnvironment: '<rootDir>/test/clean-environment.cjs',
  // Many specs wait for brokers, browsers and timers. Modules of a spec file stay in memory, so a large worker is replaced.
  maxWorkers: 2,
  workerIdleMemoryLimit: '1500MB',
  // Many specs start processes, and a busy machine needs a minute to load Apollo.
  testTimeout: 120_000,
  testMatch: ['<rootDir>/test/**/*.spec.ts'],
  // These folders need more than Node and npm (`npm run test:foreign`) or contain applications of their own.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/(consumers|foreign|backends)/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/test/consumers/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^cookie$': '<rootDir>/test/cookie.cjs',
    '^content-disposition$': '<rootDir>/test/content-disposition.cjs',
  },
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json' }] },
  // The page and the commands run in a browser or in their own processes, where coverage is not counted.
  collectCoverageFrom: ['lib/**/*.ts', '!lib/viewer/page/**', '!lib/**/command.ts'],
  coverageReporters: ['text', 'lcovonly'],
  coverageThreshold: { global: { statements: 95 } },
};
