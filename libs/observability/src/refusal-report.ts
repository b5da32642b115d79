import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';

/** Why a request was refused before anybody looked at what it asks for. */
export type RefusalReason = 'unauthenticated' | 'authentication_rate' | 'request_rate';

/** Counts requests that were refused at the edge, or let through unchecked, which it says once a minute at most. */
export class RefusalReport {
  private readonly refusals: Counter<'reason'>;
  private readonly uncheckedRequests: Counter;
  private lastToldMs = -Infinity;

  constructor(
    private readonly logger: Logger,
    registry: Registry,
  ) {
    this.refusals = new Counter({
      name: 'posthorn_requests_refused_total',
      help: 'Requests answered 401 (unauthenticated), or 429 for wrong keys from one address (authentication_rate) or for the rate of a key (request_rate).',
      labelNames: ['reason'],
      registers: [registry],
    });
    // An alert on a rate needs the series from the start, and not from its first refusal on.
    for (const reason of REASONS) this.refusals.inc({ reason }, 0);
    this.uncheckedRequests = new Counter({
      name: 'posthorn_requests_rate_unchecked_total',
      help: 'Requests let through without a look at the rate of their key, because its store was away.',
      registers: [registry],
    });
  }

  refused(reason: RefusalReason): void {
    this.refusals.inc({ reason });
  }

  /** @param cause null: the store was not asked, because it was away a moment ago */
  unchecked(cause: unknown): void {
    this.uncheckedRequests.inc();
    const nowMs = performance.now();
    if (cause === null || nowMs - this.lastToldMs < TELL_AGAIN_MS) return;
    this.lastToldMs = nowMs;
    this.logger.warn({ err: cause }, 'the store of request rates is away; requests go on without a rate');
  }
}

const REASONS: readonly RefusalReason[] = ['unauthenticated', 'authentication_rate', 'request_rate'];
const TELL_AGAIN_MS = 60_000;
