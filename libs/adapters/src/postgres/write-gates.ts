import { SLOW_LANE_MS } from '#pipeline/delivery-store.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';

/** Takes endpoints for slow: what is hinted next of theirs goes to the slow lane. */
export async function markSlow(db: Statements, endpointIds: readonly string[]): Promise<void> {
  if (endpointIds.length === 0) return;
  await withDeadlockRetry(
    () => db.$executeRaw`
      WITH gates AS (
        SELECT endpoint_id FROM endpoint_gates
        WHERE endpoint_id = ANY (${endpointIds}::uuid[])
        ORDER BY endpoint_id
        FOR UPDATE
      )
      UPDATE endpoint_gates g
      SET lane = 'slow', lane_until = now() + ${SLOW_LANE_MS} * interval '1 millisecond'
      FROM gates
      WHERE g.endpoint_id = gates.endpoint_id`,
  );
}

/**
 * Counts anew what is in flight of endpoints that say that something is. A gate is locked before its leases are counted:
 * whoever takes or gives up a lease changes the gate with it, so nothing can move in between.
 */
export async function repairInFlight(db: Database): Promise<void> {
  await db.$transaction(async (transaction) => {
    const gates = await transaction.$queryRaw<{ endpoint_id: string }[]>`
      SELECT endpoint_id FROM endpoint_gates WHERE in_flight <> 0 ORDER BY endpoint_id LIMIT ${GATES_PER_REPAIR_MAX}
      FOR UPDATE SKIP LOCKED`;
    if (gates.length === 0) return;
    await transaction.$executeRaw`
      UPDATE endpoint_gates g
      SET in_flight = counted.leases
      FROM (SELECT id AS endpoint_id,
                   (SELECT count(*) FROM open_deliveries o WHERE o.endpoint_id = id AND o.lease_until IS NOT NULL)::int
                     AS leases
            FROM unnest(${gates.map((row) => row.endpoint_id)}::uuid[]) AS ids (id)) AS counted
      WHERE g.endpoint_id = counted.endpoint_id AND g.in_flight <> counted.leases`;
  });
}

/** A short transaction; what is left over is repaired by the next. */
const GATES_PER_REPAIR_MAX = 200;
