import { nextWaitMs } from './retry-schedule.js';

/** How one attempt ended. `unknown`: the worker went away in mid-flight, so nobody knows what the receiver did. */
export const OUTCOMES = [
  'succeeded',
  'http_error',
  'redirect',
  'timeout',
  'dns_error',
  'connection_error',
  'tls_error',
  'blocked',
  'invalid_response',
  'unknown',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

export const DELIVERY_STATUSES = ['pending', 'retrying', 'held', 'succeeded', 'failed', 'cancelled'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Why an attempt was made. */
export const TRIGGERS = ['initial', 'retry', 'manual', 'recovery', 'test'] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** True when no attempt follows by itself. */
export function isFinal(status: DeliveryStatus): boolean {
  switch (status) {
    case 'succeeded':
    case 'failed':
    case 'cancelled':
      return true;
    case 'pending':
    case 'retrying':
    case 'held':
      return false;
    default:
      return unreachable(status);
  }
}

/**
 * What an answer with this status code means. A list of `successStatuses` replaces the default of any 2xx. A 3xx
 * is never followed and is a failure of its own kind, unless the endpoint lists it as success.
 */
export function classifyResponse(
  statusCode: number,
  { successStatuses }: { readonly successStatuses?: readonly number[] | undefined } = {},
): 'succeeded' | 'redirect' | 'http_error' {
  const isSuccess = successStatuses
    ? successStatuses.includes(statusCode)
    : statusCode >= 200 && statusCode <= 299;
  if (isSuccess) return 'succeeded';
  return statusCode >= 300 && statusCode <= 399 ? 'redirect' : 'http_error';
}

/** What becomes of a delivery after an attempt. */
export type NextStep =
  | { readonly kind: 'succeeded' }
  /** Another attempt, `waitMs` milliseconds after this one was settled. */
  | { readonly kind: 'retry'; readonly waitMs: number }
  /**
   * No further attempt. `exhausted`: the schedule is spent; `gone`: the receiver answered 410, so its endpoint
   * is to be disabled; `manual`: the one attempt that somebody asked for by hand has failed.
   */
  | { readonly kind: 'failed'; readonly reason: 'exhausted' | 'gone' | 'manual' };

export interface SettledAttempt {
  readonly outcome: Outcome;
  /** Null when there was no answer. */
  readonly statusCode: number | null;
  /** Steps of the schedule that are charged, this attempt's included. */
  readonly failuresAfter: number;
  readonly scheduleSeconds: readonly number[];
  /** What the answer's `Retry-After` asked for; heeded on 429 and 503 only. */
  readonly retryAfterMs?: number | null | undefined;
  /** Uniform in [0, 1), for the jitter. */
  readonly random: () => number;
  /** A manual retry of a final delivery: exactly one attempt, whatever the schedule says. */
  readonly single: boolean;
}

const GONE = 410;
/** The two statuses by which a receiver asks for time (RFC 9110, 10.2.3; RFC 6585, 4). */
const RETRY_AFTER_STATUSES: readonly number[] = [429, 503];

/** The step that follows an attempt: the whole of what api and worker know about retrying. */
export function decideNextStep(attempt: SettledAttempt): NextStep {
  switch (attempt.outcome) {
    case 'succeeded':
      return { kind: 'succeeded' };
    case 'unknown':
      // Our own trouble: it charges no step and cannot end a delivery, not even one with a single attempt.
      return { kind: 'retry', waitMs: 0 };
    case 'http_error':
    case 'redirect':
    case 'timeout':
    case 'dns_error':
    case 'connection_error':
    case 'tls_error':
    case 'blocked':
    case 'invalid_response':
      return stepAfterFailure(attempt);
    default:
      return unreachable(attempt.outcome);
  }
}

function stepAfterFailure(attempt: SettledAttempt): NextStep {
  if (attempt.statusCode === GONE) return { kind: 'failed', reason: 'gone' };
  if (attempt.single) return { kind: 'failed', reason: 'manual' };
  const isAskedToWait = attempt.statusCode !== null && RETRY_AFTER_STATUSES.includes(attempt.statusCode);
  const waitMs = nextWaitMs({
    scheduleSeconds: attempt.scheduleSeconds,
    failures: attempt.failuresAfter,
    random: attempt.random,
    retryAfterMs: isAskedToWait ? attempt.retryAfterMs : null,
  });
  return waitMs === null ? { kind: 'failed', reason: 'exhausted' } : { kind: 'retry', waitMs };
}

function unreachable(value: never): never {
  throw new Error(`not a member of the union: ${String(value)}`);
}
