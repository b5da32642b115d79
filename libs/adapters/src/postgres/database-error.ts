/**
 * The SQLSTATE of a failed statement, or a network code such as `ECONNREFUSED`, wherever Prisma and its driver
 * adapter put it; null when the error is none of PostgreSQL's.
 */
export function databaseErrorCode(error: unknown): string | null {
  for (const layer of layersOf(error)) {
    const originalCode = layer['originalCode'];
    const code = layer['code'];
    if (typeof originalCode === 'string') return originalCode;
    // Prisma's own codes (`P2010`) wrap the one that says what happened.
    if (typeof code === 'string' && !PRISMA_CODE.test(code)) return code;
  }
  return null;
}

/** Whether a statement failed because the database cannot work for anybody now, whatever the statement was. */
export function isDatabaseAway(error: unknown): boolean {
  const code = databaseErrorCode(error);
  if (code !== null) return AWAY_CODE.test(code);
  return layersOf(error).some(
    ({ ['code']: prismaCode, ['kind']: kind }) =>
      (typeof prismaCode === 'string' && PRISMA_AWAY.has(prismaCode)) ||
      (typeof kind === 'string' && DRIVER_AWAY.has(kind)),
  );
}

/** Whether a batch failed on the data of one of its rows, so that halving it finds the culprit. */
export function isItemsFault(error: unknown): boolean {
  const code = databaseErrorCode(error);
  return code !== null && DATA_FAULT.test(code);
}

export const UNIQUE_VIOLATION = '23505';
export const DEADLOCK_DETECTED = '40P01';

const PRISMA_CODE = /^P\d{4}$/;

/** SQLSTATE classes 22 and 23: data exceptions and constraint violations. */
const DATA_FAULT = /^2[23].{3}$/;

/**
 * SQLSTATE: connection errors (08), no connections, memory or disk left (53), shutting down, restarting, cancelled by a
 * statement timeout (57), I/O errors (58), a server that is read-only because it is not the primary. Else a network error.
 */
const AWAY_CODE = /^(?:08|53|57|58)|^25006$|^E[A-Z]+$/;

/** Cannot reach, timed out connecting, timed out, connection closed, pool timed out, transaction could not start. */
const PRISMA_AWAY: ReadonlySet<string> = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028']);
const DRIVER_AWAY: ReadonlySet<string> = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
]);

/** Request error, meta, adapter error, cause: Prisma nests no deeper. */
const LAYERS_MAX = 6;

function layersOf(error: unknown): Readonly<Record<string, unknown>>[] {
  const layers: Readonly<Record<string, unknown>>[] = [];
  let current = error;
  while (isRecord(current) && layers.length < LAYERS_MAX) {
    layers.push(current);
    current = current['driverAdapterError'] ?? current['meta'] ?? current['cause'];
  }
  return layers;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
