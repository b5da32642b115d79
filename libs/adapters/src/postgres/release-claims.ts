import type { Claimed } from '#pipeline/delivery-store.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';

/** Undoes claims that were never sent: their attempt number is free again, and the next sweep may take them. */
export async function releaseClaims(
  db: Statements,
  claims: readonly Pick<Claimed, 'deliveryId' | 'leaseToken'>[],
): Promise<void> {
  await withDeadlockRetry(
    () => db.$executeRaw`
      WITH held AS (
        SELECT o.delivery_id, o.endpoint_id
        FROM unnest(${claims.map(({ deliveryId }) => deliveryId)}::uuid[],
                    ${claims.map(({ leaseToken }) => leaseToken)}::uuid[]) AS c (delivery_id, lease_token)
        JOIN open_deliveries o USING (delivery_id, lease_token)
        ORDER BY o.delivery_id
        FOR UPDATE OF o
      ), gates AS (
        SELECT endpoint_id FROM endpoint_gates
        WHERE endpoint_id IN (SELECT endpoint_id FROM held)
        ORDER BY endpoint_id
        FOR UPDATE
      ), left_gates AS (
        UPDATE endpoint_gates g
        SET in_flight = g.in_flight - released.count
        FROM (SELECT endpoint_id, count(*)::int AS count FROM held JOIN gates USING (endpoint_id) GROUP BY endpoint_id)
             AS released
        WHERE g.endpoint_id = released.endpoint_id
      )
      UPDATE open_deliveries o
      SET lease_token = NULL, lease_until = NULL, attempt_id = NULL, attempt_number = o.attempt_number - 1,
          hinted_until = now()
      FROM held
      WHERE o.delivery_id = held.delivery_id`,
  );
}
