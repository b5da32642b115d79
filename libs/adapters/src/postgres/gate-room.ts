import { BREAKER } from '#domain/breaker.js';
import { Prisma } from './generated/client.js';

/*
 * How much an endpoint's gate lets through, as SQL over `endpoint_gates g` and `endpoints e`. Claim and sweep read the same
 * words, so that what one hints the other lets pass.
 */

/** Deliveries a second, or NULL where nothing limits them: the endpoint's own rate, and the slow start after an outage. */
const RATE = Prisma.sql`
  least(e.rate_limit_per_second::float8,
        CASE WHEN g.breaker_state = 'draining'
              AND now() < g.breaker_changed_at + ${BREAKER.drainSeconds} * interval '1 second'
             THEN ${BREAKER.drainStartPerSecond} *
                  2 ^ floor(extract(epoch FROM now() - g.breaker_changed_at)::float8 / ${BREAKER.drainDoublesEverySeconds})
        END)`;

/** What the bucket holds now: at most a second's worth, so that a quiet endpoint cannot save up a burst. NULL: no limit. */
export const TOKENS = Prisma.sql`
  CASE WHEN ${RATE} IS NOT NULL
       THEN least(greatest(${RATE}, 1),
                  g.rate_tokens + ${RATE} * extract(epoch FROM now() - g.rate_refilled_at)::float8)
  END`;

/** How many attempts may begin now. */
export const ROOM = Prisma.sql`
  CASE
    WHEN g.status <> 'enabled' OR e.deleted_at IS NOT NULL THEN 0
    WHEN g.breaker_state = 'open' THEN
      CASE WHEN g.breaker_probe_at <= now() AND g.in_flight <= 0 THEN 1 ELSE 0 END
    ELSE greatest(0, least(e.max_in_flight - g.in_flight, floor(${TOKENS})::int))
  END`;
