import { ensureBuilt, ensureInstalled, runAndExit } from './toolchain.mjs';

const [name, ...args] = process.argv.slice(2);

await ensureInstalled();
await ensureBuilt();
await runAndExit(['--enable-source-maps', `dist/bench/${name}.js`, ...args]);
