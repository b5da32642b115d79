import base from './jest.config.mjs';

/** Every fault, those of `npm test` included. Each starts processes, so few run at once. */
/** @type {import('jest').Config} */
export default {
  ...base,
  roots: ['<rootDir>/test/faults'],
  testMatch: ['**/*.fault.ts', '**/*.fault.test.ts'],
  maxWorkers: 1,
  testTimeout: 180_000,
};
