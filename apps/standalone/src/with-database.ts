import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readEnvironment } from '#config/environment.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { generatedKeys } from './generated-keys.js';

/** Operators' commands on the database, by name. */
const COMMANDS: Readonly<Record<string, string>> = {
  'keys-rewrap': 'apps/api/src/keys-rewrap.js',
  'audit-verify': 'apps/api/src/audit-verify.js',
};
/** This file runs from `dist/apps/standalone/src`. */
const DIST = join(import.meta.dirname, '..', '..', '..');

/**
 * Runs an operator's command on the database that the environment names, or else on standalone's own: its PostgreSQL is
 * started for the command and stopped after it, with the keys of its data directory. Standalone must not run meanwhile,
 * and is not disturbed when it does: the data directory is taken then.
 */
async function run([name = '', ...args]: readonly string[]): Promise<number> {
  const program = COMMANDS[name];
  if (program === undefined) throw new Error(`no such command: ${name}`);
  const { databaseUrl, dataDir, encryptionKeys: given } = readEnvironment('standalone', process.env);
  if (databaseUrl !== null) return runProgram(program, args, process.env);
  const { encryptionKeys } = await generatedKeys(dataDir);
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined });
  try {
    return await runProgram(program, args, {
      ...process.env,
      DATABASE_URL: postgres.databaseUrl,
      ...(given.length === 0 && { POSTHORN_ENCRYPTION_KEYS: encryptionKeys }),
    });
  } finally {
    await postgres.stop();
  }
}

async function runProgram(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const child = spawn(process.execPath, ['--enable-source-maps', join(DIST, program), ...args], {
    stdio: 'inherit',
    env: environment,
  });
  // It gets the terminal's signals itself, and PostgreSQL outlives it.
  const wait = (): void => undefined;
  process.on('SIGINT', wait).on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  tellStartupError(error);
  process.exitCode = 1;
}
