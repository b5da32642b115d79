// Standalone, restarted on each change of a source. A change that does not compile leaves the running one alone.
import { once } from 'node:events';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, ROOT, run, say, sourcesHash, start } from './toolchain.mjs';

/** An editor writes a file in several steps, and a checkout many files; this lets them finish. */
const SETTLE_MS = 150;

await ensureInstalled();
await ensureBuilt();

let app = launch();
let built = sourcesHash();
let timer;
let busy = false;
let ending = false;

for (const directory of ['apps', 'libs', 'prisma']) {
  watch(join(ROOT, directory), { recursive: true }, changed);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (ending) return;
    ending = true;
    if (isRunning()) app.kill('SIGTERM');
    else if (!busy) process.exit(0);
  });
}
say('restarting on each change of apps, libs and prisma');

function changed() {
  clearTimeout(timer);
  timer = setTimeout(restart, SETTLE_MS);
}

async function restart() {
  if (busy) return changed();
  const current = sourcesHash();
  if (ending || current === built) return;
  busy = true;
  built = current;
  // As a process of its own: a failed build ends the process that runs it.
  if ((await run(process.execPath, ['scripts/build.mjs'])) === 0 && !ending) {
    if (isRunning()) {
      const ended = once(app, 'exit');
      app.kill('SIGTERM');
      await ended;
    }
    if (!ending) app = launch();
  }
  busy = false;
  if (ending && !isRunning()) process.exit(0);
}

function isRunning() {
  return app.exitCode === null && app.signalCode === null;
}

function launch() {
  const child = start(['--enable-source-maps', 'dist/apps/standalone/src/main.js', ...process.argv.slice(2)]);
  child.once('exit', (code) => {
    if (busy) return;
    if (ending) process.exit(code ?? 1);
    say(`ended with ${code ?? child.signalCode}: waiting for a change`);
  });
  return child;
}
