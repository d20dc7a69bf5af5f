/**
 * Specs run as ES modules, as Nest 12 is. ts-jest only transpiles here (`isolatedModules`): types are checked by `npm run typecheck`, and a
 * warm run takes as long as with swc, but the metadata of decorators comes from the compiler that builds the package.
 *
 * @type {import('jest').Config}
 */
export default {
  testEnvironment: '<rootDir>/test/clean-environment.cjs',
  // Many specs start real processes, on machines that may be busy.
  testTimeout: 20_000,
  testMatch: ['<rootDir>/test/**/*.spec.ts'],
  // What needs more than Node and npm (`npm run test:foreign`); folders with applications of their own, and what was built.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/(consumers|foreign|backends)/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/test/consumers/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^cookie$': '<rootDir>/test/cookie.cjs',
    '^content-disposition$': '<rootDir>/test/content-disposition.cjs',
  },
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json' }] },
  // The page runs in a browser and commands are processes of their own: specs look at them there, where nothing is counted.
  collectCoverageFrom: ['lib/**/*.ts', '!lib/viewer/page/**', '!lib/**/command.ts'],
  coverageReporters: ['text', 'lcovonly'],
  coverageThreshold: { global: { statements: 95 } },
};
