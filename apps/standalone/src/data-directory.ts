import { access, constants, mkdir, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';

/** Any mode bit that lets somebody write. */
const WRITE_BITS = 0o222;

/**
 * Makes the directory for everything that standalone keeps (POSTHORN_DATA_DIR) and returns its real path.
 *
 * A directory without any write bit counts as read-only for root too: whoever took the bits away meant it.
 *
 * @throws StartupError when it cannot be made, entered or written to; nothing has been changed then
 */
export async function openDataDirectory(dataDir: string): Promise<string> {
  const path = resolve(dataDir);
  try {
    // Others may pass through, for the account that the database runs as, but not list. The files in it are private.
    await mkdir(path, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw new StartupError(`Cannot make the data directory ${path}: ${reason(error)}`, { cause: error });
  }
  try {
    const found = await stat(path);
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    if (!found.isDirectory()) throw new Error('it is not a directory');
    if ((found.mode & WRITE_BITS) === 0) throw new Error('it is read-only');
    return await realpath(path);
  } catch (error) {
    throw new StartupError(`Cannot use the data directory ${path}: ${reason(error)}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'it is not a directory',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
};

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}
