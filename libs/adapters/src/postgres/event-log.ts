import { parseId } from '#domain/ids.js';
import { maskJson } from '#domain/redaction.js';
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
  /** What the redaction of its type hides is masked already. Null once erased. */
  readonly data: Uint8Array | null;
  readonly deliveryCount: number;
}

const EVENT_COLUMNS = Prisma.sql`
  id, merchant_id AS "merchantId", producer_id AS "producerId", type, created_at AS "createdAt",
  created_at_text AS "createdAtText", ordering_key AS "orderingKey", deliver_at AS "deliverAt", data,
  delivery_count AS "deliveryCount",
  coalesce((SELECT r.pointers FROM event_redactions r WHERE r.event_id = events.id), '{}')
    || coalesce((SELECT t.redact FROM event_types t WHERE t.name = events.type), '{}') AS redact`;

interface EventRow extends EventRecord {
  /** Pointers that stood when the event was accepted, and those that its type has now. */
  readonly redact: readonly string[];
}

/** One producer's id at this many merchants is a coincidence that nobody reads through. */
const SAME_PRODUCER_ID_MAX = 50;

/** The events that were accepted, as they may be shown. Reads only. */
export class EventLog {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /** Newest first; `merchantId` null: across merchants. */
  async list(
    merchantId: string | null,
    page: { readonly beforeId: string | null; readonly rowsMax: number },
  ): Promise<EventRecord[]> {
    const conditions = [
      ...(merchantId === null ? [] : [Prisma.sql`merchant_id = ${merchantId}::uuid`]),
      ...(page.beforeId === null ? [] : [Prisma.sql`id < ${page.beforeId}::uuid`]),
    ];
    const where =
      conditions.length === 0 ? Prisma.empty : Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')}`;
    const rows = await this.#db.$queryRaw<EventRow[]>`
      SELECT ${EVENT_COLUMNS} FROM events ${where} ORDER BY id DESC LIMIT ${page.rowsMax}`;
    return rows.map(masked);
  }

  /** Null when there is none, or none of this merchant, or it is older than the log. */
  async find(ref: {
    readonly id: string;
    readonly merchantId?: string | undefined;
  }): Promise<EventRecord | null> {
    const merchant =
      ref.merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${ref.merchantId}::uuid`;
    const [event] = await this.#db.$queryRaw<EventRow[]>`
      SELECT ${EVENT_COLUMNS} FROM events WHERE id = ${ref.id}::uuid ${merchant}`;
    return event === undefined ? null : masked(event);
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

function masked({ redact, ...event }: EventRow): EventRecord {
  return { ...event, data: event.data && maskJson(event.data, redact) };
}
