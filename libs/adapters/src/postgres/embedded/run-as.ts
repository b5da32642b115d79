import { spawn } from 'node:child_process';

/** An unprivileged account of this machine that the server runs as. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

export interface RunOptions {
  readonly account?: ServerAccount | undefined;
  /** Entered before the account is taken on, so it may lie where the account cannot go by itself. */
  readonly cwd: string;
  readonly input?: string;
}

export interface RunResult {
  readonly code: number | null;
  /** Standard output and standard error, interleaved as they came. */
  readonly output: string;
}

/**
 * Runs a program to its end.
 *
 * @throws the spawn error (`ENOENT`, `EACCES`) when it cannot be started
 */
export function runAs(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: serverEnvironment(),
      stdio: ['pipe', 'pipe', 'pipe'],
      ...identity(options.account),
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    // The program may end without reading its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, output });
    });
  });
}

/** Where `id`, `test`, `ps` and `sh` are, NixOS included. */
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin';

/** The caller's PGDATA, PGPORT, LC_ALL and the like must not change what the embedded server does. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: SYSTEM_PATH, LC_ALL: 'C', TZ: 'UTC' };
}

/** What `spawn` needs to drop root; libuv clears the supplementary groups too. */
export function identity(account: ServerAccount | undefined): { uid?: number; gid?: number } {
  return account === undefined ? {} : { uid: account.uid, gid: account.gid };
}
