import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

await ensureInstalled();
await ensureBuilt();
await runAndExit([
  '--enable-source-maps',
  'dist/apps/standalone/src/with-database.js',
  'audit-verify',
  ...process.argv.slice(2),
]);
