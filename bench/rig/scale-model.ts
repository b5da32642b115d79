import { USUAL_TYPE } from './usual-event.js';

/* What the seeded log consists of. Shares of a list add up to one. */

/** By merchant, from the fat first one to the thin last one. The others share the rest, the second most, the last but one least. */
export const MERCHANTS = 200;
export const FAT_MERCHANT = 0;
export const THIN_MERCHANT = MERCHANTS - 1;
export const FAT_SHARE = 0.3;
export const THIN_SHARE = 0.0001;

/** By endpoint, of each merchant. */
export const ENDPOINTS_PER_MERCHANT = 5;
export const MAIN_ENDPOINT = 0;
/** Answers 204 where others answer 200. */
export const NO_CONTENT_ENDPOINT = 2;
/** Has taken no connection for {@link DOWN_DAYS}. */
export const DOWN_ENDPOINT = 3;
export const DOWN_DAYS = 3;
/** Of the fat merchant only: paused since midnight. */
export const PAUSED_ENDPOINT = 4;
/** Of the fat merchant's events, by the first endpoint that each goes to; a second one goes to the next. Of others, the same each. */
export const FAT_ENDPOINT_SHARES = [0.6, 0.1, 0.1, 0.1, 0.1];

/** One event in so many goes to two endpoints, each other one to one. */
export const EVENTS_PER_FAN_OUT = 4;
/** One event in so many has an id of its producer's. */
export const EVENTS_PER_PRODUCER_ID = 2;

export const COMMON_TYPE = 'payment.success';
export const RARE_TYPE = 'account.closed';
export const TYPES = [
  { type: COMMON_TYPE, share: 0.4 },
  { type: USUAL_TYPE, share: 0.2 },
  { type: 'payment.failed', share: 0.12 },
  { type: 'withdrawal.failed', share: 0.08 },
  { type: 'refund.processed', share: 0.08 },
  { type: 'transfer.success', share: 0.06 },
  { type: 'payout.sent', share: 0.04 },
  { type: 'dispute.opened', share: 0.01 },
  { type: 'customer.updated', share: 0.00998 },
  { type: RARE_TYPE, share: 0.00002 },
];

/** What becomes of a delivery. With those to endpoints that are down, it is two attempts each. */
export const FATES = [
  { status: 'succeeded', attempts: 1, share: 0.63 },
  { status: 'succeeded', attempts: 2, share: 0.1 },
  { status: 'succeeded', attempts: 3, share: 0.06 },
  { status: 'succeeded', attempts: 4, share: 0.04 },
  { status: 'failed', attempts: 4, share: 0.09 },
  { status: 'failed', attempts: 10, share: 0.04 },
  { status: 'cancelled', attempts: 1, share: 0.02 },
  { status: 'cancelled', attempts: 0, share: 0.02 },
];
/** When the attempts of the usual schedule begin. Of a longer one they are spread over what is left of the day. */
export const ATTEMPT_OFFSETS_MS = [0, 1_000, 5_000, 21_000];

/** What an attempt that fails comes to; those of one delivery do so in the same way. */
export const FAILURES = [
  { outcome: 'http_error', code: 500, error: null, share: 0.48 },
  { outcome: 'http_error', code: 503, error: null, share: 0.15 },
  { outcome: 'http_error', code: 404, error: null, share: 0.1 },
  { outcome: 'timeout', code: null, error: 'deadline_exceeded', share: 0.14 },
  { outcome: 'connection_error', code: null, error: 'econnrefused', share: 0.08 },
  { outcome: 'redirect', code: 302, error: null, share: 0.03 },
  { outcome: 'dns_error', code: null, error: 'enotfound', share: 0.018 },
  { outcome: 'http_error', code: 418, error: null, share: 0.001 },
  { outcome: 'tls_error', code: null, error: 'cert_has_expired', share: 0.001 },
];
export const CONNECTION_REFUSED = FAILURES.findIndex(({ error }) => error === 'econnrefused');
export const TIMEOUT_MS = 10_000;

/** Of today's deliveries to the first merchants only: at any time few receivers have trouble. */
export const MERCHANTS_WITH_OPEN = 10;
/** Accepted with a `deliver_at` days ahead. */
export const PENDING_SHARE = 0.005;
/** Waiting for hours, by the extended schedule. */
export const RETRYING_SHARE = 0.01;

/** Of all deliveries; the days before have the same each. */
export const TODAY_SHARE = 0.1;
/** Today included: as many as the default retention keeps. */
export const DAYS = 30;
