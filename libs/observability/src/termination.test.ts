import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';

const MODULE = new URL('./termination.ts', import.meta.url).href;

/** A process that says `ready`, and on a signal takes `stopMs` to stop. */
async function start(
  stopMs: number,
  deadlineMs: number,
): Promise<{ child: ChildProcess; output: () => string }> {
  const program = `
    import { stopOnSignals } from ${JSON.stringify(MODULE)};
    stopOnSignals({
      deadlineMs: ${deadlineMs},
      onError: () => console.log('error'),
      stop: (signal) => {
        console.log('stopping ' + signal);
        return new Promise((resolve) => setTimeout(resolve, ${stopMs}));
      },
    });
    setInterval(() => undefined, 1_000);
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  while (!output.includes('ready')) await once(child.stdout, 'data');
  return { child, output: () => output };
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s: stops in order, once, and exits with 0', async (signal) => {
  const { child, output } = await start(300, 10_000);
  child.kill(signal);
  while (!output().includes('stopping')) await once(child.stdout ?? child, 'data');
  // The same Ctrl-C again, as npm forwards it.
  child.kill(signal);
  expect(await exitCode(child)).toBe(0);
  expect(output()).toBe(`ready\nstopping ${signal}\n`);
});

test('what does not stop in time is ended with 1', async () => {
  const { child } = await start(60_000, 100);
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(1);
});
