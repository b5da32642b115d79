import { randomBytes } from 'node:crypto';
import { IdMaker } from '#domain/ids.js';
import { Prisma } from './generated/client.js';
import type { Database } from './database.js';

/** Rows for tests of the log, written without the pipeline, on two days for which `ensurePartitions(db, DAY_ONE_MS)` provides. */
export const DAY_ONE_MS = Date.parse('2026-03-01T00:00:00Z');
export const DAY_TWO_MS = Date.parse('2026-03-02T00:00:00Z');

export const testIds = new IdMaker(
  () => DAY_ONE_MS,
  (n) => randomBytes(n),
);

export async function addMerchant(db: Database, dialect = 'posthorn'): Promise<string> {
  const { id } = await db.merchant.create({ data: { id: testIds.uuid(), name: 'Shop', dialect } });
  return id;
}

export async function addEndpoint(db: Database, merchantId: string): Promise<string> {
  const { id } = await db.endpoint.create({
    data: {
      id: testIds.uuid(),
      merchantId,
      url: 'https://shop.example/hook',
      events: ['*'],
      gate: { create: { merchantId } },
    },
  });
  return id;
}

export interface DeliveryFixture {
  readonly merchantId: string;
  readonly endpointId: string;
  readonly createdAtMs?: number;
  readonly status?: string;
  readonly eventType?: string;
  readonly outcome?: string | null;
  readonly statusCode?: number | null;
  readonly errorCode?: string | null;
  readonly attemptCount?: number;
  readonly producerId?: string;
  readonly data?: string | null;
  /** Not final: whether its open row is there. As the status says if left out. */
  readonly isOpen?: boolean;
  /** A moment, as SQL, for the open row. */
  readonly leaseUntil?: string;
  readonly dueAt?: string;
  readonly isSingle?: boolean;
}

/** An event of one delivery, the delivery, and its open row where it is not final. */
export async function addDelivery(
  db: Database,
  fixture: DeliveryFixture,
): Promise<{ readonly id: string; readonly eventId: string }> {
  const { merchantId, endpointId, createdAtMs = DAY_ONE_MS + 1_000, status = 'pending' } = fixture;
  const eventId = testIds.uuidAt(createdAtMs);
  const id = testIds.uuidAt(createdAtMs);
  const eventType = fixture.eventType ?? 'payment.success';
  const data = fixture.data === null ? null : Buffer.from(fixture.data ?? '{"amount":1.10}');
  const outcome = fixture.outcome ?? null;
  await db.$executeRaw`
    INSERT INTO events (id, merchant_id, type, data, created_at, producer_id, delivery_count)
    VALUES (${eventId}::uuid, ${merchantId}::uuid, ${eventType}, ${data}, ${new Date(createdAtMs)},
            ${fixture.producerId ?? null}, 1)`;
  await db.$executeRaw`
    INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, attempt_count,
                            last_number, last_outcome, last_status_code, last_duration_ms, error_code, completed_at)
    VALUES (${id}::uuid, ${eventId}::uuid, ${endpointId}::uuid, ${merchantId}::uuid, ${eventType}, 'envelope', ${status},
            ${fixture.attemptCount ?? 0}, ${outcome === null ? null : 1}::int, ${outcome},
            ${fixture.statusCode ?? null}::int, ${outcome === null ? null : 12}::int, ${fixture.errorCode ?? null},
            ${['pending', 'retrying'].includes(status) ? null : new Date(createdAtMs + 5_000)}::timestamptz)`;
  if (fixture.producerId !== undefined) {
    await db.$executeRaw`
      INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, event_ids)
      VALUES ('event', ${fixture.producerId}, ${merchantId}::uuid, ''::bytea, ARRAY[${eventId}::uuid])`;
  }
  if (fixture.isOpen ?? ['pending', 'retrying'].includes(status)) {
    const leaseUntil = fixture.leaseUntil === undefined ? Prisma.sql`NULL` : Prisma.raw(fixture.leaseUntil);
    await db.$executeRaw`
      INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, lease_until,
                                   single, payload_format, data_bytes)
      VALUES (${id}::uuid, ${eventId}::uuid, ${endpointId}::uuid, ${merchantId}::uuid,
              ${Prisma.raw(fixture.dueAt ?? `now() + interval '1 hour'`)}, now(), ${leaseUntil},
              ${fixture.isSingle ?? false}, 'envelope', 15)`;
  }
  return { id, eventId };
}

export interface OpenRow {
  readonly due: boolean;
  readonly hinted: boolean;
  readonly hintNumber: number;
  readonly trigger: string;
  readonly single: boolean;
  readonly attemptNumber: number;
  readonly dataBytes: number;
}

export async function openRow(db: Database, deliveryId: string): Promise<OpenRow | null> {
  const [row] = await db.$queryRaw<OpenRow[]>`
    SELECT due_at <= now() AS due, hinted_until > now() AS hinted, hint_number AS "hintNumber", trigger, single,
           attempt_number AS "attemptNumber", data_bytes AS "dataBytes"
    FROM open_deliveries WHERE delivery_id = ${deliveryId}::uuid`;
  return row ?? null;
}

export async function statusOf(db: Database, deliveryId: string): Promise<string | undefined> {
  const [row] = await db.$queryRaw<{ status: string }[]>`
    SELECT status FROM deliveries WHERE id = ${deliveryId}::uuid`;
  return row?.status;
}
