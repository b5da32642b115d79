import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

await ensureInstalled();
await ensureBuilt();
await runAndExit(['--enable-source-maps', 'dist/apps/api/src/keys-rewrap.js', ...process.argv.slice(2)]);
