import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

await ensureInstalled();
await ensureBuilt();
await runAndExit(['--enable-source-maps', 'dist/apps/standalone/src/demo.js', ...process.argv.slice(2)]);
