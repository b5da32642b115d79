import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DemoError } from './demo/demo-error.js';
import { PosthornApi } from './demo/posthorn-api.js';
import { runDemo } from './demo/run-demo.js';
import { Terminal } from './demo/terminal.js';

const USAGE = `Usage: npm run demo [-- --keep]

Shows a running Posthorn at work: registers endpoints for two merchants, sends events and prints the delivery log.

  --keep                 leave the merchants and their webhooks on the server
  POSTHORN_URL           where it runs; http://127.0.0.1:8080 if not set
  POSTHORN_PLATFORM_KEY  its platform key; if not set, the one in POSTHORN_DATA_DIR (.posthorn)`;

/** 128 + SIGINT, as shells have it. */
const INTERRUPTED_EXIT_CODE = 130;

process.exitCode = await main();

async function main(): Promise<number> {
  const terminal = new Terminal(process.stdout);
  const interruption = new AbortController();
  // npm hands the key press on a second time, so these stay, and only the first one counts.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interruption.abort());
  try {
    const { values } = parseArgs({ options: { keep: { type: 'boolean' }, help: { type: 'boolean' } } });
    if (values.help === true) {
      terminal.print(USAGE);
      return 0;
    }
    const api = new PosthornApi(serverUrl(), platformKey());
    const isFine = await runDemo({ api, terminal, keep: values.keep === true, signal: interruption.signal });
    return isFine ? 0 : 1;
  } catch (error) {
    terminal.endProgress();
    if (interruption.signal.aborted) return INTERRUPTED_EXIT_CODE;
    console.error(lineFor(error));
    return 1;
  }
}

function lineFor(error: unknown): unknown {
  if (error instanceof DemoError) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('ERR_PARSE_ARGS_') ? `${(error as Error).message}\n\n${USAGE}` : error;
}

/** @throws {DemoError} */
function serverUrl(): string {
  const text = variable('POSTHORN_URL') ?? 'http://127.0.0.1:8080';
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new DemoError('POSTHORN_URL must be a URL such as http://127.0.0.1:8080.');
  }
  return url.origin;
}

/** @throws {DemoError} */
function platformKey(): string {
  const given = variable('POSTHORN_PLATFORM_KEY');
  if (given !== undefined) return given;
  const path = join(variable('POSTHORN_DATA_DIR') ?? '.posthorn', 'platform-key');
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new DemoError(
      `There is no platform key: ${path} cannot be read. Start Posthorn with \`npm start\`, or set POSTHORN_PLATFORM_KEY.`,
      { cause },
    );
  }
}

/** An empty variable is an unset one. */
function variable(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}
