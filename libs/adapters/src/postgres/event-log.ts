import { parseId } from '#domain/ids.js';
import type { Statements } from './database.js';
import { Prisma } from './generated/client.js';

export interface EventRecord {
  readonly id: string;
  readonly merchantId: string;
  readonly producerId: string | null;
  readonly type: string;
  readonly createdAt: Date;
  readonly createdAtText: string | null;
  readonly orderingKey: string | null;
  readonly deliverAt: Date | null;
  /** Null once erased. */
  readonly data: Uint8Array | null;
  readonly deliveryCount: number;
}

const EVENT_COLUMNS = Prisma.sql`
  id, merchant_id AS "merchantId", producer_id AS "producerId", type, created_at AS "createdAt",
  created_at_text AS "createdAtText", ordering_key AS "orderingKey", deliver_at AS "deliverAt", data,
  delivery_count AS "deliveryCount"`;

/** One producer's id at this many merchants is a coincidence that nobody reads through. */
const SAME_PRODUCER_ID_MAX = 50;

/** The events that were accepted. Reads only. */
export class EventLog {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /** Newest first; `merchantId` null: across merchants. */
  list(
    merchantId: string | null,
    page: { readonly beforeId: string | null; readonly rowsMax: number },
  ): Promise<EventRecord[]> {
    const conditions = [
      ...(merchantId === null ? [] : [Prisma.sql`merchant_id = ${merchantId}::uuid`]),
      ...(page.beforeId === null ? [] : [Prisma.sql`id < ${page.beforeId}::uuid`]),
    ];
    const where =
      conditions.length === 0 ? Prisma.empty : Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')}`;
    return this.#db.$queryRaw<EventRecord[]>`
      SELECT ${EVENT_COLUMNS} FROM events ${where} ORDER BY id DESC LIMIT ${page.rowsMax}`;
  }

  /** Null when there is none, or none of this merchant, or it is older than the log. */
  async find(ref: {
    readonly id: string;
    readonly merchantId?: string | undefined;
  }): Promise<EventRecord | null> {
    const merchant =
      ref.merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${ref.merchantId}::uuid`;
    const [event] = await this.#db.$queryRaw<EventRecord[]>`
      SELECT ${EVENT_COLUMNS} FROM events WHERE id = ${ref.id}::uuid ${merchant}`;
    return event ?? null;
  }

  /**
   * The events that a public event id can mean: the one of that TypeID, or those that producers gave this id, which
   * is unique only within a merchant. A TypeID is read and not looked up: whose event it is, if anybody's, is still to
   * be asked.
   */
  async idsOf(publicId: string, merchantId: string | undefined): Promise<string[]> {
    const id = parseId('evt', publicId);
    if (id !== null) return [id];
    const merchant =
      merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${merchantId}::uuid`;
    const rows = await this.#db.$queryRaw<{ eventId: string }[]>`
      SELECT event_ids[1] AS "eventId" FROM idempotency_keys
      WHERE kind = 'event' AND key = ${publicId} ${merchant} AND event_ids[1] IS NOT NULL
      ORDER BY event_ids[1] DESC LIMIT ${SAME_PRODUCER_ID_MAX}`;
    return rows.map((row) => row.eventId);
  }
}
