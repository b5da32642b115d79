import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { RefusalReport } from '#observability/refusal-report.js';
import { ApiError } from '../http/api-error.js';
import { addressBlockOf } from '../http/client-address.js';

/**
 * A program that polls every second with a key that was revoked keeps being told why it is refused; what sends more wrong
 * keys than this is guessing, or broken.
 */
export const FAILURES_PER_MINUTE_MAX = 100;
const WINDOW_MS = 60_000;
/** A few megabytes. Whoever has more addresses than this is not held up by counting them. */
const ADDRESSES_MAX = 20_000;

/**
 * What a request without a live key is told: 401, and 429 once its address has sent too many wrong ones within a minute.
 * Right keys are not asked where they come from, so that nobody locks out those who share an address. Each process counts
 * for itself.
 */
@Injectable()
export class FailedAuthentication {
  /** The window of an address begins with its first failure and ends a minute later. */
  readonly #failures = new LRUCache<string, { count: number }>({
    max: ADDRESSES_MAX,
    ttl: WINDOW_MS,
    ttlResolution: 0,
  });

  constructor(private readonly report: RefusalReport) {}

  /** The request carries no key at all: nobody tried anything. */
  missing(): ApiError {
    this.report.refused('unauthenticated');
    return unauthenticated();
  }

  /** The request carries a key that is none, or not live. */
  wrong(request: FastifyRequest): ApiError {
    const block = addressBlockOf(request);
    const failures = this.#failures.get(block) ?? { count: 0 };
    if (failures.count === 0) this.#failures.set(block, failures);
    failures.count++;
    if (failures.count <= FAILURES_PER_MINUTE_MAX) return this.missing();
    this.report.refused('authentication_rate');
    const retrySeconds = Math.max(1, Math.ceil(this.#failures.getRemainingTTL(block) / 1_000));
    return new ApiError('rate_limited', 'Too many wrong keys came from this address.', null, {
      'retry-after': String(retrySeconds),
    });
  }

  /** Whether the next wrong key of this address will be told 429. */
  isSuspect(request: FastifyRequest): boolean {
    const failures = this.#failures.get(addressBlockOf(request));
    return failures !== undefined && failures.count >= FAILURES_PER_MINUTE_MAX;
  }
}

export function unauthenticated(): ApiError {
  return new ApiError('unauthenticated', undefined, null, { 'www-authenticate': 'Bearer' });
}
