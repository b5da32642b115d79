import { ScalarReader } from '#domain/json-scalar.js';
import { parseRawJson } from '#domain/raw-json.js';
import type { OperationalEventType } from '#domain/operational-event.js';
import { formatId } from '#domain/ids.js';
import { OPERATOR_ID } from '#domain/operator.js';
import type { Acceptor, EventDraft } from './accept.js';

/** What is to be told as an operational event, as it was noted in the transaction of what it tells. */
export interface Notice {
  readonly position: bigint;
  readonly id: string;
  readonly type: OperationalEventType;
  readonly merchantId: string;
  readonly endpointId: string;
  readonly endpointUrl: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly createdAt: Date;
  /** Whether any endpoint of the merchant, or of the operator, asks for it now. */
  readonly isHeardByMerchant: boolean;
  readonly isHeardByOperator: boolean;
  /** These are of the delivery that it is about, as it is now; null where it is about an endpoint or the log is gone. */
  readonly deliveryId: string | null;
  readonly eventId: string | null;
  /** The producer's own id of the event. */
  readonly producerId: string | null;
  readonly eventType: string | null;
  readonly attemptCount: number | null;
  readonly lastOutcome: string | null;
  readonly lastStatusCode: number | null;
  readonly lastErrorCode: string | null;
}

/** What announcing needs of the database. */
export interface NoticeStore {
  /**
   * Whether it is the caller's turn: one of all workers gets one in `everyMs`, by the database's clock, and nobody while there
   * is nothing to announce.
   */
  takeTurn(everyMs: number): Promise<boolean>;
  /** The notices that come next. Nothing is locked: one that is announced twice is accepted once. */
  take(noticesMax: number): Promise<readonly Notice[]>;
  done(positions: readonly bigint[]): Promise<void>;
  /** @returns how many were dropped */
  dropOlderThan(hours: number): Promise<number>;
}

/**
 * Turns notices into operational events, of the merchant that they tell of and of the operator, where anybody asks for
 * them. They are accepted as any other events; the id of the notice is the event's, so that after a crash between the
 * accept and the end of the notice the second time changes nothing.
 *
 * @returns how many notices were announced or had no listener; null when it was not its turn
 * @throws {Error} when the database is away; what was not announced waits for the next turn
 */
export async function announce(
  store: NoticeStore,
  acceptor: Pick<Acceptor, 'accept'>,
): Promise<number | null> {
  if (!(await store.takeTurn(ANNOUNCE_EVERY_MS))) return null;
  const notices = await store.take(NOTICES_PER_TURN_MAX);
  if (notices.length === 0) return 0;
  // A merchant that is being erased is unknown, and a conflict is one whose facts have changed since it was accepted:
  // neither has anything left to say.
  await Promise.all(
    notices
      .flatMap(draftsOf)
      .map((event) => acceptor.accept({ apiKeyId: null, events: [event], idempotencyKey: null })),
  );
  await store.done(notices.map(({ position }) => position));
  return notices.length;
}

/** Drops what has waited so long that it tells nothing any more. @returns how many */
export function dropStaleNotices(store: NoticeStore): Promise<number> {
  return store.dropOlderThan(NOTICE_WAIT_HOURS_MAX);
}

function draftsOf(notice: Notice): EventDraft[] {
  const owners = [
    ...(notice.isHeardByMerchant ? [notice.merchantId] : []),
    ...(notice.isHeardByOperator ? [OPERATOR_ID] : []),
  ];
  const members = dataOf(notice);
  const data = Buffer.from(JSON.stringify(members));
  return owners.map((merchantId) => ({
    merchantId,
    type: notice.type,
    data,
    dataKeys: () => Object.keys(members),
    dataScalars: () => new ScalarReader(parseRawJson(data)),
    producerId: `notice-${notice.id}`,
    createdAt: null,
    orderingKey: null,
    deliverAt: null,
  }));
}

function dataOf(notice: Notice): Record<string, unknown> {
  const about = {
    merchant_id: formatId('mrc', notice.merchantId),
    webhook_id: formatId('wh', notice.endpointId),
    url: notice.endpointUrl,
    occurred_at: notice.createdAt.toISOString(),
  };
  if (notice.deliveryId === null) return { ...about, ...notice.facts };
  return {
    ...about,
    delivery_id: formatId('dlv', notice.deliveryId),
    event_id: notice.producerId ?? (notice.eventId === null ? null : formatId('evt', notice.eventId)),
    event_type: notice.eventType,
    attempt_count: notice.attemptCount,
    last_attempt: {
      outcome: notice.lastOutcome,
      status_code: notice.lastStatusCode,
      error_code: notice.lastErrorCode,
    },
  };
}

/** Soon enough for somebody who is to be woken up. */
export const ANNOUNCE_EVERY_MS = 1_000;
/**
 * What all workers together announce in that time. A receiver that is down for a merchant with 100,000 deliveries spends
 * as many schedules at once: at this rate they are told within the hour, and no endpoint of the operator's is flooded.
 */
const NOTICES_PER_TURN_MAX = 50;
/** More schedules are spent than can be told, for this long: what is older is in the log for whoever looks. */
const NOTICE_WAIT_HOURS_MAX = 24;
