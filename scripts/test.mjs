import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

await ensureInstalled();
// End-to-end tests start the built processes.
await ensureBuilt();
await runAndExit([
  // Jest loads ES modules through node:vm only.
  '--experimental-vm-modules',
  '--no-warnings',
  'node_modules/jest/bin/jest.js',
  ...process.argv.slice(2),
]);
