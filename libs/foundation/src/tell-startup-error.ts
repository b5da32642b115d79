import { databaseErrorCode, isDatabaseAway } from '#adapters/postgres/database-error.js';
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
  return databaseLine(error);
}

function databaseLine(error: unknown): string | null {
  const code = databaseErrorCode(error) ?? '';
  if (code === INVALID_CATALOG_NAME) {
    return 'PostgreSQL has no database of the name that DATABASE_URL gives: correct it, or create the database and run npm run migrate.';
  }
  if (code.startsWith(INVALID_AUTHORIZATION_CLASS)) {
    return 'PostgreSQL does not let the user of DATABASE_URL in: correct its user, password or TLS settings, or pg_hba.conf.';
  }
  if (code === INSUFFICIENT_PRIVILEGE) {
    return 'The user of DATABASE_URL may not use the tables of Posthorn: give it the rights of the user that ran npm run migrate.';
  }
  if (NO_SUCH_OBJECT.has(code)) {
    return 'The database has not been migrated for this build: run npm run migrate with the same DATABASE_URL first.';
  }
  if (isDatabaseAway(error)) {
    return 'Cannot reach the PostgreSQL that DATABASE_URL names, or it takes no connections.';
  }
  return null;
}

const INVALID_CATALOG_NAME = '3D000';
const INSUFFICIENT_PRIVILEGE = '42501';
const INVALID_AUTHORIZATION_CLASS = '28';
/** Undefined schema, table, column: what a boot asks for is there after every migration. */
const NO_SUCH_OBJECT: ReadonlySet<string> = new Set(['3F000', '42P01', '42703']);

function isListenError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen';
}
