import { OPERATIONAL_EVENT_TYPES, type OperationalEventType } from '#domain/operational-event.js';
import { patternsOfOperational } from '#domain/event-type-pattern.js';
import { OPERATOR_ID } from '#domain/operator.js';
import type { Notice, NoticeStore } from '#pipeline/notices.js';
import type { Database, Statements } from './database.js';
import type { DisabledReason } from './endpoints-record.js';
import { Prisma } from './generated/client.js';

/**
 * Whether an endpoint of this merchant, or one of the operator's, asks for an operational event, as SQL.
 *
 * @param merchantId of whom it tells, as SQL
 */
export function hasListener(type: OperationalEventType, merchantId: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`(${hears(type, merchantId, false)} OR ${hears(type, OPERATOR, true)})`;
}

const OPERATOR = Prisma.sql`${OPERATOR_ID}::uuid`;

/** The same of `notices n`, whatever its type. */
function isHeard(owner: Prisma.Sql, isOperator: boolean): Prisma.Sql {
  const byType = OPERATIONAL_EVENT_TYPES.map(
    (type) => Prisma.sql`n.type = ${type} AND ${hears(type, owner, isOperator)}`,
  );
  return Prisma.sql`(${Prisma.join(byType, ' OR ')})`;
}

function hears(type: OperationalEventType, owner: Prisma.Sql, isOperator: boolean): Prisma.Sql {
  return Prisma.sql`EXISTS (
    SELECT FROM endpoints l
    WHERE l.merchant_id = ${owner} AND l.deleted_at IS NULL AND l.status <> 'disabled'
      AND l.events && ${patternsOfOperational(type, isOperator)}::text[])`;
}

/** Tells, in the transaction that disables them, that endpoints of merchants were disabled. Of the operator's own nothing is told. */
export async function tellDisabled(
  tx: Statements,
  endpointIds: readonly string[],
  reason: DisabledReason,
): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO notices (type, merchant_id, endpoint_id, facts)
    SELECT 'webhook.disabled', merchant_id, id, jsonb_build_object('disabled_reason', ${reason}::text)
    FROM endpoints WHERE id = ANY (${[...endpointIds]}::uuid[]) AND merchant_id <> ${OPERATOR}
    ORDER BY id`;
}

/** The port of announcing on PostgreSQL. */
export class PostgresNoticeStore implements NoticeStore {
  constructor(private readonly db: Database) {}

  async takeTurn(everyMs: number): Promise<boolean> {
    const taken = await this.db.$executeRaw`
      UPDATE notice_turns SET next_at = now() + ${everyMs} * interval '1 millisecond'
      WHERE next_at <= now() AND EXISTS (SELECT FROM notices)`;
    return taken > 0;
  }

  take(noticesMax: number): Promise<readonly Notice[]> {
    return takeNotices(this.db, noticesMax);
  }

  async done(positions: readonly bigint[]): Promise<void> {
    await this.db.$executeRaw`DELETE FROM notices WHERE position = ANY (${positions.map(String)}::bigint[])`;
  }

  dropOlderThan(hours: number): Promise<number> {
    return this.db.$executeRaw`DELETE FROM notices WHERE created_at < now() - ${hours} * interval '1 hour'`;
  }
}

/**
 * The notices that come next: those of endpoints first, because there are few of them and each matters; then those of
 * deliveries, of each merchant in turn, so that a burst of one does not hold up the others.
 */
function takeNotices(db: Statements, noticesMax: number): Promise<Notice[]> {
  return db.$queryRaw<Notice[]>`
    WITH RECURSIVE merchant_ids AS (
      (SELECT merchant_id FROM notices WHERE delivery_id IS NOT NULL ORDER BY merchant_id LIMIT 1)
      UNION ALL
      SELECT (SELECT n.merchant_id FROM notices n
              WHERE n.delivery_id IS NOT NULL AND n.merchant_id > previous.merchant_id ORDER BY n.merchant_id LIMIT 1)
      FROM merchant_ids previous
      WHERE previous.merchant_id IS NOT NULL
    ), of_endpoints AS (
      SELECT n.*, 0::bigint AS rank FROM notices n WHERE delivery_id IS NULL ORDER BY position LIMIT ${noticesMax}
    ), of_deliveries AS (
      SELECT taken.*
      FROM merchant_ids m
      CROSS JOIN LATERAL (
        SELECT n.*, row_number() OVER (ORDER BY position) AS rank
        FROM notices n
        WHERE n.delivery_id IS NOT NULL AND n.merchant_id = m.merchant_id
        ORDER BY position LIMIT ${noticesMax}
      ) AS taken
    ), chosen AS (
      SELECT * FROM (SELECT * FROM of_endpoints UNION ALL SELECT * FROM of_deliveries) AS n
      ORDER BY rank, position LIMIT ${noticesMax}
    )
    SELECT n.position, n.id, n.type, n.merchant_id AS "merchantId", n.endpoint_id AS "endpointId",
           n.delivery_id AS "deliveryId", n.facts, n.created_at AS "createdAt", endpoint.url AS "endpointUrl",
           d.event_id AS "eventId", ev.producer_id AS "producerId", d.event_type AS "eventType",
           d.attempt_count AS "attemptCount", d.last_outcome AS "lastOutcome", d.last_status_code AS "lastStatusCode",
           d.last_error_code AS "lastErrorCode",
           ${isHeard(Prisma.sql`n.merchant_id`, false)} AS "isHeardByMerchant", ${isHeard(OPERATOR, true)} AS "isHeardByOperator"
    FROM chosen n
    JOIN endpoints endpoint ON endpoint.id = n.endpoint_id
    LEFT JOIN LATERAL (SELECT * FROM deliveries WHERE id = n.delivery_id OFFSET 0) AS d ON true
    LEFT JOIN LATERAL (SELECT producer_id FROM events WHERE id = d.event_id OFFSET 0) AS ev ON true
    ORDER BY n.rank, n.position`;
}
