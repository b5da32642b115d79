/**
 * The SQLSTATE of a failed statement, or a network code such as `ECONNREFUSED`, wherever Prisma and its driver
 * adapter put it; null when the error is none of PostgreSQL's.
 */
export function databaseErrorCode(error: unknown): string | null {
  for (let current: unknown = error, depth = 0; isRecord(current) && depth < CAUSES_MAX; depth++) {
    const code = current['originalCode'] ?? codeOf(current);
    if (typeof code === 'string') return code;
    current = current['driverAdapterError'] ?? current['meta'] ?? current['cause'];
  }
  return null;
}

/** The pipeline of a failed Prisma statement is at most: request error, meta, adapter error, cause. */
const CAUSES_MAX = 6;

/** Prisma's own codes (`P2010`) wrap the one that says what happened. */
function codeOf(error: Record<string, unknown>): unknown {
  const code = error['code'];
  return typeof code === 'string' && !/^P\d{4}$/.test(code) ? code : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export const UNIQUE_VIOLATION = '23505';
export const DEADLOCK_DETECTED = '40P01';

/** Classes of SQLSTATE that say that a row's own data cannot be written: data exceptions and constraint violations. */
const DATA_CLASSES: readonly string[] = ['22', '23'];

/** Whether a batch failed on the data of one of its rows, so that halving it finds the culprit. */
export function isItemsFault(error: unknown): boolean {
  const code = databaseErrorCode(error);
  return code !== null && code.length === SQLSTATE_LENGTH && DATA_CLASSES.includes(code.slice(0, 2));
}

const SQLSTATE_LENGTH = 5;
