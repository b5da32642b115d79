import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Installation, startInstallation } from '#testkit/processes.js';

let installation: Installation;

beforeAll(async () => {
  installation = await startInstallation({ queue: 'postgres' });
}, 60_000);

afterAll(() => installation.close(), 30_000);

const DEMO = join(import.meta.dirname, '..', '..', 'dist', 'apps', 'standalone', 'src', 'demo.js');

async function runDemo(
  environment: Readonly<Record<string, string>>,
): Promise<{ exitCode: number; output: string }> {
  const child = spawn(process.execPath, [DEMO], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await exited;
  return { exitCode: child.exitCode ?? -1, output: stdout + stderr };
}

test('the demo ends well: every delivery as expected, every signature verified, no colours in a pipe', async () => {
  const { exitCode, output } = await runDemo({
    POSTHORN_URL: installation.client.url,
    POSTHORN_PLATFORM_KEY: installation.platformKey,
  });
  expect(output).toMatch(/9 deliveries in 11 requests/);
  expect(output).toMatch(/withdrawal\.completed +\/fiatsend +succeeded +3 +200/);
  expect(output).not.toContain('\u001b[');
  expect(exitCode).toBe(0);
}, 60_000);

test('without a server or with a wrong key it says so in a line', async () => {
  const none = await runDemo({
    POSTHORN_URL: 'http://127.0.0.1:9',
    POSTHORN_PLATFORM_KEY: installation.platformKey,
  });
  expect(none.exitCode).toBe(1);
  expect(none.output.trim().split('\n')).toHaveLength(1);
  const wrong = await runDemo({
    POSTHORN_URL: installation.client.url,
    POSTHORN_PLATFORM_KEY: 'x'.repeat(30),
  });
  expect(wrong.exitCode).toBe(1);
  expect(wrong.output.trim().split('\n')).toHaveLength(1);
}, 30_000);
