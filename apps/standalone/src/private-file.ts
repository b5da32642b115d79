import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';

export interface PrivateFile {
  readonly content: string;
  /** Whether this call wrote it. */
  readonly isNew: boolean;
}

/**
 * Reads a one-line file that only its owner may read, or makes it with what `generate` returns. It appears whole or not
 * at all, and of two processes that make it at once both get the content of the first.
 *
 * @throws StartupError when it can be neither read nor written, or is empty
 */
export async function readOrMakePrivateFile(path: string, generate: () => string): Promise<PrivateFile> {
  try {
    const existing = await read(path);
    if (existing !== undefined) return { content: existing, isNew: false };
    const made = generate();
    if (await writeNew(path, made)) return { content: made, isNew: true };
    return { content: (await read(path)) ?? made, isNew: false };
  } catch (error) {
    if (error instanceof StartupError) throw error;
    throw new StartupError(`Cannot read or write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    const content = (await readFile(path, 'utf8')).trim();
    if (content === '')
      throw new StartupError(`${path} is empty: restore it, or remove it to have a new one made.`);
    return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A hard link, unlike a rename, does not replace what another process has put there meanwhile. */
async function writeNew(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(`${content}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}
