import { SUSPECT_AFTER_UNKNOWNS } from '#pipeline/delivery-store.js';
import type { DueDelivery, TakeLimits } from '#pipeline/dispatch.js';
import { HINT_TTL_MS, type Lane } from '#pipeline/hint-queue.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { ROOM } from './gate-room.js';
import { Prisma } from './generated/client.js';
import { roomLeft } from './room-left.js';

/** As a constant: a plan that is made once for all values cannot use the index of suspects, which is partial. */
const SUSPECT = Prisma.raw(String(SUSPECT_AFTER_UNKNOWNS));

/** A hint mostly leads to a claim within a tenth of this. After it, it may be lost, and nothing newer waits for it any more. */
const FRESH_HINT_MS = 2_000;

/** Every endpoint that has an open delivery, found by jumps through the index and not by reading it. */
const ENDPOINTS_WITH_OPEN = Prisma.sql`
    endpoint_ids AS (
      (SELECT endpoint_id FROM open_deliveries ORDER BY endpoint_id LIMIT 1)
      UNION ALL
      SELECT (SELECT o.endpoint_id FROM open_deliveries o
              WHERE o.endpoint_id > previous.endpoint_id ORDER BY o.endpoint_id LIMIT 1)
      FROM endpoint_ids previous
      WHERE previous.endpoint_id IS NOT NULL
    )`;

/**
 * Marks deliveries of a lane that are due and that no live hint speaks of, as far as they are among the oldest of their
 * endpoint that its gate has room for. Endpoints are walked by jumps through the index, so that a million open deliveries of
 * one cost the others nothing, and in an order that differs each time, so that none is always last.
 *
 * in:  a lane; how many in all, how many of one endpoint
 * out: the deliveries marked, with the hint number of each
 */
export function takeDueDeliveries(
  statements: Statements,
  db: Database,
  lane: Lane,
  limits: TakeLimits,
): Promise<DueDelivery[]> {
  return withDeadlockRetry(() =>
    lane === 'suspect' ? takeSuspect(statements, db) : takeOfLane(statements, lane, limits),
  );
}

function takeOfLane(db: Statements, lane: Lane, limits: TakeLimits): Promise<DueDelivery[]> {
  const { rooms } = limits;
  const ofEndpoint = roomLeft(rooms.endpoints, rooms.perEndpoint, Prisma.sql`g.endpoint_id`);
  const ofMerchant = roomLeft(rooms.merchants, rooms.perMerchant, Prisma.sql`g.merchant_id`);
  return db.$queryRaw<DueDelivery[]>`
    WITH RECURSIVE ${ENDPOINTS_WITH_OPEN}, open_gates AS MATERIALIZED (
      SELECT g.endpoint_id, g.merchant_id, ${ROOM} AS gate_room, ${ofEndpoint} AS room, ${ofMerchant} AS merchant_room
      FROM endpoint_ids
      JOIN endpoint_gates g ON g.endpoint_id = endpoint_ids.endpoint_id AND g.lane = ${lane}
      JOIN endpoints e ON e.id = g.endpoint_id
    ), due AS (
      SELECT oldest.delivery_id, gates.merchant_id, gates.merchant_room,
             row_number() OVER (PARTITION BY oldest.endpoint_id ORDER BY oldest.due_at) AS rank
      FROM (SELECT * FROM open_gates WHERE gate_room > 0 AND room > 0 AND merchant_room > 0 ORDER BY random()) AS gates
      CROSS JOIN LATERAL (
        SELECT delivery_id, endpoint_id, due_at
        FROM (
          -- What has just been hinted counts against the gate: it has the first claim to its room, and the oldest go first.
          SELECT o.delivery_id, o.endpoint_id, o.due_at, o.hinted_until
          FROM open_deliveries o
          WHERE o.endpoint_id = gates.endpoint_id
            AND o.due_at <= now()
            AND o.lease_until IS NULL
            AND o.unknowns < ${SUSPECT}
            AND NOT o.blocked
            AND (o.hinted_until <= now()
                 OR o.hinted_until > now() + ${HINT_TTL_MS - FRESH_HINT_MS} * interval '1 millisecond')
          ORDER BY o.due_at
          LIMIT gates.gate_room
        ) AS oldest
        WHERE hinted_until <= now()
        LIMIT gates.room
      ) AS oldest
    ), chosen AS (
      SELECT delivery_id
      FROM (SELECT *, row_number() OVER (PARTITION BY merchant_id ORDER BY rank) AS merchant_rank
            FROM due WHERE rank <= ${limits.perEndpointMax}) AS due
      WHERE merchant_rank <= merchant_room
      ORDER BY rank LIMIT ${limits.deliveriesMax}
    ), marked AS (
      SELECT free.delivery_id
      FROM chosen
      CROSS JOIN LATERAL (
        SELECT o.delivery_id
        FROM open_deliveries o
        WHERE o.delivery_id = chosen.delivery_id AND o.hinted_until <= now() AND o.lease_until IS NULL
        FOR UPDATE SKIP LOCKED
      ) AS free
    )
    UPDATE open_deliveries o
    SET hinted_until = now() + ${HINT_TTL_MS} * interval '1 millisecond', hint_number = o.hint_number + 1
    FROM marked
    WHERE o.delivery_id = marked.delivery_id
    RETURNING o.delivery_id AS "deliveryId", o.endpoint_id AS "endpointId", ${lane} AS lane,
              o.hint_number AS "hintNumber"`;
}

/** The oldest suspect, unless one is out already: whatever ends the worker then, it is known what it was. */
async function takeSuspect(statements: Statements, db: Database): Promise<DueDelivery[]> {
  const [locked] = await statements.$queryRaw<{ is_any: boolean }[]>`
    SELECT EXISTS (SELECT FROM open_deliveries WHERE unknowns >= ${SUSPECT} AND due_at <= now()) AS is_any`;
  if (locked?.is_any !== true) return [];
  return db.$transaction(async (transaction) => {
    // Two sweeps at once must not each take one.
    await transaction.$executeRaw`SELECT pg_advisory_xact_lock(${SUSPECTS_LOCK}::bigint)`;
    return transaction.$queryRaw<DueDelivery[]>`
      WITH chosen AS (
        SELECT o.delivery_id
        FROM open_deliveries o
        JOIN endpoint_gates g ON g.endpoint_id = o.endpoint_id
        JOIN endpoints e ON e.id = o.endpoint_id
        WHERE o.unknowns >= ${SUSPECT} AND o.due_at <= now() AND o.hinted_until <= now()
          AND o.lease_until IS NULL AND NOT o.blocked AND ${ROOM} > 0
          AND NOT EXISTS (SELECT FROM open_deliveries other
                          WHERE other.unknowns >= ${SUSPECT}
                            AND (other.lease_until IS NOT NULL
                                 OR other.due_at <= now() AND other.hinted_until > now()))
        ORDER BY o.due_at
        LIMIT 1
        FOR UPDATE OF o SKIP LOCKED
      )
      UPDATE open_deliveries o
      SET hinted_until = now() + ${HINT_TTL_MS} * interval '1 millisecond', hint_number = o.hint_number + 1
      FROM chosen
      WHERE o.delivery_id = chosen.delivery_id
      RETURNING o.delivery_id AS "deliveryId", o.endpoint_id AS "endpointId", 'suspect' AS lane,
                o.hint_number AS "hintNumber"`;
  });
}

/** Any number that no other use of advisory locks in this database has. */
const SUSPECTS_LOCK = 7_061_737_472n;

/** Whether something is due that nothing but its endpoint's room or rate keeps back. */
export async function isAnyHeldBack(db: Statements): Promise<boolean> {
  const [row] = await db.$queryRaw<{ is_any: boolean }[]>`
    WITH RECURSIVE ${ENDPOINTS_WITH_OPEN}
    SELECT EXISTS (
      SELECT
      FROM endpoint_ids
      JOIN endpoint_gates g ON g.endpoint_id = endpoint_ids.endpoint_id
                           AND g.status = 'enabled' AND g.breaker_state <> 'open'
      JOIN open_deliveries o ON o.endpoint_id = g.endpoint_id
      WHERE o.due_at <= now() AND o.hinted_until <= now() AND o.lease_until IS NULL AND NOT o.blocked
        AND o.unknowns < ${SUSPECT}
    ) AS is_any`;
  return row?.is_any ?? false;
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
