import { availableParallelism } from 'node:os';

const slow = process.env.POSTHORN_TEST_VERBOSE === 'true';

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'],
  globalSetup: '<rootDir>/test/global-setup.mjs',
  globalTeardown: '<rootDir>/test/global-teardown.mjs',
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^#(domain|pipeline|adapters|config|foundation|observability|testkit)/(.*)\\.js$':
      '<rootDir>/libs/$1/src/$2.ts',
    '^#(api|worker|standalone)/(.*)\\.js$': '<rootDir>/apps/$1/src/$2.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  reporters: ['default', '<rootDir>/test/summary-reporter.mjs'],
  // Many files mostly wait: for retries, for deadlines, for processes. On two cores Jest would run one at a time.
  maxWorkers: Math.max(2, availableParallelism() - 1),
  // A hook that starts processes takes seconds on a busy machine, and a wait that is too long fails by its own bound first.
  testTimeout: 30_000,
  verbose: slow,
};
