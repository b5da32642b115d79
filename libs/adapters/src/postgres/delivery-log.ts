import type { DeliveryStatus, Outcome, Trigger } from '#domain/attempt-outcome.js';
import { uuidFloor, uuidTimeMs } from '#domain/ids.js';
import type { PayloadFormat } from '#domain/payload-format.js';
import type { Statements } from './database.js';
import { DELIVERY_COLUMNS } from './delivery-log-chunk.js';
import { type DeliveryFilter, isPaused, listWalks, type PageRequest } from './delivery-log-page.js';
import {
  type ChunkRow,
  type FoundRows,
  SEARCH_LIMITS,
  type SearchLimits,
  walkAll,
} from './delivery-log-walk.js';
import { Prisma } from './generated/client.js';

export interface DeliveryRecord {
  readonly id: string;
  readonly eventId: string;
  /** The producer's own id of the event; null when none was given. */
  readonly producerId: string | null;
  readonly endpointId: string;
  readonly merchantId: string;
  readonly eventType: string;
  readonly payloadFormat: PayloadFormat;
  readonly status: DeliveryStatus;
  readonly attemptCount: number;
  /** Null while an attempt is in flight, while the endpoint is paused, and once none is to come. */
  readonly nextAttemptAt: Date | null;
  /** These five are of the last attempt that has ended; null when none has. */
  readonly lastNumber: number | null;
  readonly lastOutcome: Outcome | null;
  readonly lastStatusCode: number | null;
  readonly lastErrorCode: string | null;
  readonly lastDurationMs: number | null;
  readonly errorCode: string | null;
  readonly completedAt: Date | null;
}

export interface AttemptRecord {
  readonly id: string;
  readonly number: number;
  readonly trigger: Trigger;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly outcome: Outcome;
  readonly statusCode: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly requestUrl: string;
  /** JSON text, an array of [name, value]. */
  readonly requestHeaders: string;
  /** As the request's; null when there was no response. */
  readonly responseHeaders: string | null;
  readonly responseBody: Uint8Array | null;
  readonly responseBodyTruncated: boolean | null;
  readonly remoteAddress: string | null;
}

/** A schedule has at most 21 attempts; retries by hand have no bound, and bodies are up to 256 KiB each. */
export const ATTEMPTS_SHOWN_MAX = 50;

/** Ids of attempts are made by another process than the delivery's; both know the database's clock this well. */
export const CLOCK_SLACK_MS = 60_000;

/** What a chunk says of its rows beside what they are. */
export const CHUNK_COLUMNS = Prisma.sql`, d.fits, d.is_chunk_end AS "isChunkEnd"`;

/** Which delivery is meant, and whose it has to be; without `merchantId`, anybody's. */
export interface DeliveryRef {
  readonly id: string;
  readonly merchantId?: string | undefined;
}

/** What was sent, what came back, and what is still to come. Reads only. */
export class DeliveryLog {
  readonly #db: Statements;
  readonly #limits: SearchLimits;

  constructor(db: Statements, limits: SearchLimits = SEARCH_LIMITS) {
    this.#db = db;
    this.#limits = limits;
  }

  /** Newest first, as many as are found in the time that a search may take. */
  list(filter: DeliveryFilter, page: PageRequest): Promise<FoundRows<DeliveryRecord>> {
    const read = (query: Prisma.Sql): Promise<ChunkRow<DeliveryRecord>[]> =>
      this.#db.$queryRaw(withDetails(query, filter.merchantId, CHUNK_COLUMNS));
    return walkAll(listWalks(filter), page, this.#limits, read);
  }

  /** Null when there is none, or none of this merchant. */
  async find({ id, merchantId }: DeliveryRef): Promise<DeliveryRecord | null> {
    const query = Prisma.sql`SELECT ${DELIVERY_COLUMNS} FROM deliveries d WHERE d.id = ${id}::uuid`;
    const [delivery] = await this.#db.$queryRaw<DeliveryRecord[]>(withDetails(query, merchantId));
    return delivery ?? null;
  }

  /** The latest attempts of a delivery, at most {@link ATTEMPTS_SHOWN_MAX}, in the order in which they were made. */
  async attempts({ id, merchantId }: DeliveryRef): Promise<AttemptRecord[]> {
    const from = uuidFloor(Math.max(0, uuidTimeMs(id) - CLOCK_SLACK_MS));
    const merchant =
      merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${merchantId}::uuid`;
    const latest = await this.#db.$queryRaw<AttemptRecord[]>`
      SELECT id, number, trigger, started_at AS "startedAt", duration_ms AS "durationMs", outcome,
             status_code AS "statusCode", error_code AS "errorCode", error_message AS "errorMessage",
             request_url AS "requestUrl", request_headers AS "requestHeaders",
             response_headers AS "responseHeaders", response_body AS "responseBody",
             response_body_truncated AS "responseBodyTruncated", remote_address AS "remoteAddress"
      FROM attempts
      WHERE delivery_id = ${id}::uuid AND id >= ${from}::uuid ${merchant}
      ORDER BY id DESC LIMIT ${ATTEMPTS_SHOWN_MAX}`;
    // By number: the ids are made by several workers, whose clocks are milliseconds apart.
    return latest.toSorted((a, b) => a.number - b.number);
  }
}

/**
 * The rows of a page with what other tables know of them. Sub-selects by key, a row at a time: as joins they may be
 * turned into scans, and only the partition of each row's own event is looked at.
 *
 * `held` is said here and stored nowhere, so that to pause an endpoint with a million open deliveries writes none of them.
 *
 * The merchant is asked for out here, around the page: within, beside an endpoint, it would mislead the planner.
 *
 * @param further columns of the page, after a comma
 */
export function withDetails(
  page: Prisma.Sql,
  merchantId: string | undefined,
  further: Prisma.Sql = Prisma.empty,
): Prisma.Sql {
  const owner =
    merchantId === undefined ? Prisma.empty : Prisma.sql`WHERE d.merchant_id = ${merchantId}::uuid`;
  return Prisma.sql`
    SELECT d.id, d.event_id AS "eventId", d.endpoint_id AS "endpointId", d.merchant_id AS "merchantId",
           d.event_type AS "eventType", d.payload_format AS "payloadFormat",
           CASE WHEN d.is_paused AND d.status IN ('pending', 'retrying') THEN 'held' ELSE d.status END AS status,
           d.attempt_count AS "attemptCount", d.last_number AS "lastNumber", d.last_outcome AS "lastOutcome",
           d.last_status_code AS "lastStatusCode", d.last_error_code AS "lastErrorCode",
           d.last_duration_ms AS "lastDurationMs", d.error_code AS "errorCode", d.completed_at AS "completedAt",
           CASE WHEN NOT d.is_paused
                THEN (SELECT o.due_at FROM open_deliveries o
                      WHERE o.delivery_id = d.id AND o.merchant_id = d.merchant_id AND o.lease_until IS NULL)
           END AS "nextAttemptAt",
           (SELECT e.producer_id FROM events e WHERE e.id = d.event_id AND e.merchant_id = d.merchant_id) AS "producerId"
           ${further}
    FROM (SELECT page.*, (${isPaused(Prisma.sql`page.endpoint_id`)}) IS TRUE AS is_paused
          FROM (${page}) page) d
    ${owner}
    ORDER BY d.id DESC`;
}
