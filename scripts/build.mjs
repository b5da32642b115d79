import { build, ensureInstalled } from './toolchain.mjs';

await ensureInstalled();
await build();
