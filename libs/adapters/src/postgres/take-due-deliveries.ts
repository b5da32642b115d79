import type { DueDelivery } from '#pipeline/dispatch.js';
import { HINT_TTL_MS } from '#pipeline/hint-queue.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';

/**
 * Marks deliveries that are due and that no live hint speaks of, oldest first in each endpoint whose gate is open.
 * Endpoints are walked by jumps through the index, so that a million open deliveries of one cost the others nothing.
 *
 * in:  how many in all, how many of one endpoint
 * out: the deliveries marked, with the lane and hint number of each
 */
export async function takeDueDeliveries(
  db: Statements,
  limits: { readonly deliveriesMax: number; readonly perEndpointMax: number },
): Promise<DueDelivery[]> {
  return withDeadlockRetry(
    () => db.$queryRaw<DueDelivery[]>`
      WITH RECURSIVE endpoint_ids AS (
        (SELECT endpoint_id FROM open_deliveries ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.endpoint_id FROM open_deliveries o
                WHERE o.endpoint_id > previous.endpoint_id ORDER BY o.endpoint_id LIMIT 1)
        FROM endpoint_ids previous
        WHERE previous.endpoint_id IS NOT NULL
      ), due AS (
        SELECT taken.delivery_id, g.lane
        FROM endpoint_ids
        JOIN endpoint_gates g ON g.endpoint_id = endpoint_ids.endpoint_id AND g.status = 'enabled'
        CROSS JOIN LATERAL (
          SELECT o.delivery_id, o.due_at
          FROM open_deliveries o
          WHERE o.endpoint_id = g.endpoint_id
            AND o.due_at <= now()
            AND o.hinted_until <= now()
            AND o.lease_until IS NULL
            AND NOT o.blocked
          ORDER BY o.due_at
          LIMIT ${limits.perEndpointMax}
          FOR UPDATE SKIP LOCKED
        ) AS taken
        LIMIT ${limits.deliveriesMax}
      )
      UPDATE open_deliveries o
      SET hinted_until = now() + ${HINT_TTL_MS} * interval '1 millisecond', hint_number = o.hint_number + 1
      FROM due
      WHERE o.delivery_id = due.delivery_id
      RETURNING o.delivery_id AS "deliveryId", due.lane, o.hint_number AS "hintNumber"`,
  );
}

/** Hands deliveries back to the next sweep. */
export async function unhintDeliveries(db: Statements, deliveryIds: readonly string[]): Promise<void> {
  if (deliveryIds.length === 0) return;
  await withDeadlockRetry(
    () => db.$executeRaw`
      WITH marked AS (
        SELECT delivery_id FROM open_deliveries
        WHERE delivery_id = ANY (${deliveryIds}::uuid[]) AND lease_until IS NULL
        ORDER BY delivery_id
        FOR UPDATE
      )
      UPDATE open_deliveries o SET hinted_until = now() FROM marked WHERE o.delivery_id = marked.delivery_id`,
  );
}
