import { HttpException } from '@nestjs/common';
import { databaseErrorCode } from '#adapters/postgres/database-error.js';
import { IdempotencyConflict } from '#adapters/postgres/idempotent-posts.js';
import { ApiError, notFound } from './api-error.js';

/** When to try again after the database was away. A restart of PostgreSQL takes about as long. */
const RETRY_AFTER_SECONDS = 1;

/**
 * SQLSTATEs (PostgreSQL, appendix A) and network codes that say that the database cannot serve anybody just now:
 * connection exceptions (08), insufficient resources (53), operator intervention such as a restart or our own
 * statement timeout (57), I/O errors (58), and a server that is read-only because it is not the primary.
 */
const DATABASE_AWAY = /^(?:08|53|57|58)|^25006$|^E[A-Z]+$/;
/** Prisma: cannot reach, timed out connecting, connection closed, pool timed out, transaction could not start. */
const PRISMA_AWAY: ReadonlySet<string> = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028']);
const DRIVER_AWAY: ReadonlySet<string> = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
]);

/** The client's view of whatever was thrown. Anything unknown is our fault and tells nothing. */
export function describeError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof IdempotencyConflict) return new ApiError('idempotency_conflict', error.message);
  if (isDatabaseAway(error)) {
    return new ApiError('unavailable', undefined, null, { 'retry-after': String(RETRY_AFTER_SECONDS) });
  }
  if (isFromRouter(error)) return notFound();
  return BY_STATUS.get(statusOf(error))?.() ?? new ApiError('internal_error');
}

/** What Nest and Fastify throw of their own accord, by status. */
const BY_STATUS: ReadonlyMap<number | null, () => ApiError> = new Map([
  [400, brokenBody],
  [403, () => new ApiError('forbidden')],
  [404, notFound],
  [413, () => new ApiError('payload_too_large')],
  [415, () => new ApiError('unsupported_media_type')],
]);

/** A body that did not arrive as announced: its length differs, or the connection broke. */
function brokenBody(): ApiError {
  return new ApiError('malformed_json', 'The body did not arrive as its headers announced it.');
}

/** A path that cannot be decoded, or with an id longer than any id, names nothing. */
const ROUTER_ERRORS: ReadonlySet<unknown> = new Set(['FST_ERR_BAD_URL', 'FST_ERR_MAX_PARAM_LENGTH']);

function isFromRouter(error: unknown): boolean {
  return ROUTER_ERRORS.has(codeOf(error)) || ROUTER_ERRORS.has(codeOf(causeOf(error)));
}

function statusOf(error: unknown): number | null {
  if (error instanceof HttpException) return error.getStatus();
  const status = property(error, 'statusCode');
  return typeof status === 'number' ? status : null;
}

export function isDatabaseAway(error: unknown): boolean {
  const code = databaseErrorCode(error);
  if (code !== null) return DATABASE_AWAY.test(code);
  for (let current = error, depth = 0; current !== undefined && depth < CAUSES_MAX; depth++) {
    const prismaCode = codeOf(current);
    if (typeof prismaCode === 'string' && PRISMA_AWAY.has(prismaCode)) return true;
    const kind = property(current, 'kind');
    if (typeof kind === 'string' && DRIVER_AWAY.has(kind)) return true;
    current = property(current, 'driverAdapterError') ?? property(current, 'meta') ?? causeOf(current);
  }
  return false;
}

/** Request error, meta, adapter error, cause: Prisma nests no deeper. */
const CAUSES_MAX = 6;

function causeOf(error: unknown): unknown {
  return property(error, 'cause');
}

function codeOf(error: unknown): unknown {
  return property(error, 'code');
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
