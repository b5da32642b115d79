import type { Outcome } from './attempt-outcome.js';

/**
 * When an endpoint is left alone. It opens on a lot of evidence only: many attempts over a good part of a minute, almost
 * all of them failed in a way that more requests cannot mend. While it is open nothing is charged and nothing is dropped.
 */
export const BREAKER = {
  /** Evidence older than this says nothing about now. */
  windowSeconds: 60,
  /** A burst that failed within seconds is a restart of the receiver, not an outage. */
  windowSecondsMin: 30,
  /** Fewer could be one unlucky batch. */
  attemptsMin: 100,
  /** A receiver that still takes one in twenty is slow or overloaded, and is better tried again than left alone. */
  failureShareMin: 0.95,
  /** The first look whether it is back; short, because most outages are. */
  probeWaitMsMin: 5_000,
  /** The longest that a receiver which is back waits for its deliveries to begin. */
  probeWaitMsMax: 60_000,
  /** What waited comes slowly at first, so that the receiver is not pushed over again. */
  drainStartPerSecond: 5,
  /** The drain doubles each time this has passed without opening again. */
  drainDoublesEverySeconds: 5,
  /** After twelve doublings no limit is left to speak of. */
  drainSeconds: 60,
} as const;

/**
 * Whether an attempt counts as evidence that the endpoint is down or overloaded. An answer that refuses this one request
 * (400, 404, 422) or redirects it does not: the receiver is there.
 */
export function isBreakerFailure(outcome: Outcome, statusCode: number | null): boolean {
  switch (outcome) {
    case 'timeout':
    case 'dns_error':
    case 'connection_error':
    case 'tls_error':
      return true;
    case 'http_error':
      return statusCode === 429 || (statusCode !== null && statusCode >= 500);
    case 'succeeded':
    case 'redirect':
    case 'blocked':
    case 'invalid_response':
    case 'unknown':
      return false;
  }
}
