import { isDatabaseAway } from '#adapters/postgres/database-error.js';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';
import { EncryptionKeyMismatch } from '#adapters/postgres/encryption-canary.js';
import { MigrationError } from '#adapters/postgres/migrate.js';
import { ConfigurationError } from '#config/environment.js';

/** One line for what an operator can put right; the whole error for what only we can. */
export function tellStartupError(error: unknown): void {
  console.error(lineFor(error) ?? error);
}

function lineFor(error: unknown): string | null {
  const isOperators =
    error instanceof ConfigurationError ||
    error instanceof EncryptionKeyMismatch ||
    error instanceof MigrationError ||
    error instanceof StartupError;
  if (isOperators) return error.message;
  if (isListenError(error)) return `Cannot listen on HOST and PORT: ${error.message}.`;
  if (isDatabaseAway(error))
    return 'Cannot reach the PostgreSQL that DATABASE_URL names, or it takes no connections.';
  return null;
}

function isListenError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen';
}
