import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

await ensureInstalled();
await ensureBuilt();
await runAndExit([
  '--enable-source-maps',
  'dist/apps/standalone/src/with-database.js',
  'keys-rewrap',
  ...process.argv.slice(2),
]);
