import { HttpException } from '@nestjs/common';
import { isDatabaseAway } from '#adapters/postgres/database-error.js';
import { IdempotencyConflict } from '#adapters/postgres/idempotent-posts.js';
import { ApiError, notFound } from './api-error.js';

/** When to try again after the database was away. A restart of PostgreSQL takes about as long. */
const RETRY_AFTER_SECONDS = 1;

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
export function brokenBody(): ApiError {
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

function causeOf(error: unknown): unknown {
  return property(error, 'cause');
}

function codeOf(error: unknown): unknown {
  return property(error, 'code');
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
