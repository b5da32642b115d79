import { latencyBucket, latencyBucketFloorMs } from '#domain/latency-histogram.js';
import { STATS_WIDTHS } from '#domain/stats-window.js';
import {
  ATTEMPT_OFFSETS_MS,
  CONNECTION_REFUSED,
  ENDPOINTS_PER_MERCHANT,
  EVENTS_PER_FAN_OUT,
  EVENTS_PER_PRODUCER_ID,
  FAILURES,
  FAT_ENDPOINT_SHARES,
  FAT_MERCHANT,
  FAT_SHARE,
  FATES,
  MERCHANTS,
  MERCHANTS_WITH_OPEN,
  PENDING_SHARE,
  RETRYING_SHARE,
  THIN_MERCHANT,
  THIN_SHARE,
  TIMEOUT_MS,
  TYPES,
} from './scale-model.js';

/*
 * A day of the log is drafted in a session's temporary tables, each from the one before, and written from there. The
 * constants of the model are ours, with nothing in them to quote.
 */

/** Of a list that is joined by `place`, from 0. */
function placed(
  name: string,
  columns: string,
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const literal = (value: string | number | null): string =>
    value === null ? 'NULL' : typeof value === 'number' ? String(value) : `'${value}'`;
  const values = rows.map((row, place) => `(${[place, ...row].map(literal).join()})`);
  return `(VALUES ${values.join()}) AS ${name} (place, ${columns})`;
}

/** The place, from 0, that a random number falls on. */
function placeOf(random: string, shares: readonly number[]): string {
  let sum = 0;
  const bounds = shares.slice(0, -1).map((share) => (sum += share));
  return `width_bucket(${random}, '{${bounds.join()}}'::float8[])`;
}

function sharesOf(list: readonly { readonly share: number }[]): readonly number[] {
  return list.map(({ share }) => share);
}

/** A UUIDv7 of a millisecond (RFC 9562, 5.7). */
function uuidOf(ms: string): string {
  const time = `overlay(lpad(to_hex(${ms}), 12, '0') PLACING '-' FROM 9 FOR 0)`;
  return `overlay(gen_random_uuid()::text PLACING ${time} || '-7' FROM 1 FOR 15)::uuid`;
}

/** When the attempt of a number begins, where `ms`, `until_ms` and `attempts` are those of its delivery. */
function startOf(number: string): string {
  return `least(until_ms - 1, ms + 2 +
    CASE WHEN attempts <= ${ATTEMPT_OFFSETS_MS.length} THEN ('{${ATTEMPT_OFFSETS_MS.join()}}'::bigint[])[greatest(1, ${number})]
         ELSE ((until_ms - ms) * ((${number} - 1) / attempts::float8) ^ 2)::bigint END)`;
}

export const CREATE_DRAFTS = `
  CREATE TEMPORARY TABLE draft_endpoints (
    merchant int, endpoint int, merchant_id uuid, endpoint_id uuid, success_code int, down_from_ms bigint, held_from_ms bigint);
  CREATE TEMPORARY TABLE draft_events (
    id uuid, ms bigint, merchant int, endpoint int, fan_out int, type text, producer_id text);
  CREATE TEMPORARY TABLE draft_deliveries (
    id uuid, event_id uuid, merchant_id uuid, endpoint_id uuid, type text, ms bigint, until_ms bigint, success_code int,
    status text, attempts int, failure int);
  CREATE TEMPORARY TABLE draft_attempts (
    delivery_id uuid, event_id uuid, merchant_id uuid, endpoint_id uuid, type text, number int, is_last boolean, ms bigint,
    outcome text, code int, error text, duration_ms int)`;

export const CLEAR_DRAFTS = 'TRUNCATE draft_events, draft_deliveries, draft_attempts';

/** $1 to $7 the columns */
export const DRAFT_ENDPOINTS = `
  INSERT INTO draft_endpoints
  SELECT * FROM unnest($1::int[], $2::int[], $3::uuid[], $4::uuid[], $5::int[], $6::bigint[], $7::bigint[])`;

/** $1 events, $2 from, $3 until, in milliseconds; in the order of time, as they are accepted */
export const DRAFT_EVENTS = `
  INSERT INTO draft_events
  SELECT ${uuidOf('ms')}, ms, merchant,
         CASE WHEN merchant = ${FAT_MERCHANT} THEN ${placeOf('of_endpoint', FAT_ENDPOINT_SHARES)}
              ELSE floor(of_endpoint * ${ENDPOINTS_PER_MERCHANT})::int END,
         CASE WHEN position % ${EVENTS_PER_FAN_OUT} = 0 THEN 2 ELSE 1 END, types.type,
         CASE WHEN position % ${EVENTS_PER_PRODUCER_ID} = 0 THEN 'txn_' || $2::bigint || '_' || lpad(position::text, 8, '0') END
  FROM (SELECT position, floor($2::bigint + ($3::bigint - $2::bigint) * ((position - random()) / $1::int))::bigint AS ms,
               CASE WHEN of_merchant < ${FAT_SHARE} THEN ${FAT_MERCHANT}
                    WHEN of_merchant < ${FAT_SHARE + THIN_SHARE} THEN ${THIN_MERCHANT}
                    ELSE 1 + floor(${MERCHANTS - 2} * random() ^ 2)::int END AS merchant,
               random() AS of_endpoint, ${placeOf('random()', sharesOf(TYPES))} AS type_place
        FROM (SELECT position, random() AS of_merchant FROM generate_series(1, $1::int) AS position) AS positions) AS drawn
  JOIN ${placed(
    'types',
    'type',
    TYPES.map(({ type }) => [type]),
  )} ON types.place = type_place`;

/** $1 until, in milliseconds; $2 whether the day is today */
export const DRAFT_DELIVERIES = `
  INSERT INTO draft_deliveries
  SELECT ${uuidOf('ms')}, event_id, merchant_id, endpoint_id, type, ms, $1::bigint, success_code,
         CASE WHEN is_held THEN 'pending' WHEN is_down THEN 'failed' ELSE coalesce(open_status, fates.status) END,
         CASE WHEN is_held OR open_status = 'pending' THEN 0 WHEN open_status = 'retrying' THEN 2
              WHEN is_down THEN ${ATTEMPT_OFFSETS_MS.length} ELSE fates.attempts END,
         CASE WHEN is_down THEN ${CONNECTION_REFUSED} ELSE failure END
  FROM (SELECT events.id AS event_id, events.ms, events.type, e.merchant_id, e.endpoint_id, e.success_code,
               events.ms >= e.down_from_ms AS is_down, events.ms >= e.held_from_ms AS is_held,
               ${placeOf('random()', sharesOf(FATES))} AS fate, ${placeOf('random()', sharesOf(FAILURES))} AS failure,
               CASE WHEN $2::boolean AND events.merchant < ${MERCHANTS_WITH_OPEN} THEN
                 CASE ${placeOf('random()', [PENDING_SHARE, RETRYING_SHARE, 1])} WHEN 0 THEN 'pending' WHEN 1 THEN 'retrying' END
               END AS open_status
        FROM (SELECT *, (endpoint + part) % ${ENDPOINTS_PER_MERCHANT} AS receiver
              FROM draft_events CROSS JOIN generate_series(0, fan_out - 1) AS part) AS events
        JOIN draft_endpoints e ON e.merchant = events.merchant AND e.endpoint = events.receiver) AS drawn
  JOIN ${placed(
    'fates',
    'status, attempts',
    FATES.map(({ status, attempts }) => [status, attempts]),
  )} ON fates.place = fate
  ORDER BY ms`;

/** In the order of time, as they are settled. */
export const DRAFT_ATTEMPTS = `
  INSERT INTO draft_attempts
  SELECT delivery_id, event_id, merchant_id, endpoint_id, type, number, is_last, started_ms,
         CASE WHEN is_success THEN 'succeeded' ELSE outcome END, CASE WHEN is_success THEN success_code ELSE code END,
         CASE WHEN NOT is_success THEN error END,
         CASE WHEN outcome = 'timeout' AND NOT is_success THEN ${TIMEOUT_MS} ELSE 8 + (500 * random() ^ 4)::int END
  FROM (SELECT d.id AS delivery_id, d.event_id, d.merchant_id, d.endpoint_id, d.type, d.success_code, d.failure, number,
               number = attempts AS is_last, number = attempts AND status = 'succeeded' AS is_success,
               ${startOf('number')} AS started_ms
        FROM draft_deliveries d
        CROSS JOIN generate_series(1, d.attempts) AS number) AS attempts
  JOIN ${placed(
    'failures',
    'outcome, code, error',
    FAILURES.map(({ outcome, code, error }) => [outcome, code, error]),
  )} ON failures.place = failure
  ORDER BY started_ms`;

/** What the rows of a log table are, of the columns named: in the types of the table, because they are copied as they are. */
export interface Rows {
  readonly columns: string;
  readonly select: string;
}

/** @param data of every event, JSON without an apostrophe */
export function eventRows(data: string): Rows {
  return {
    columns: 'id, merchant_id, type, data, created_at, producer_id, delivery_count',
    select: `
      SELECT id, e.merchant_id, type, convert_to('${data}', 'UTF8'), to_timestamp(ms / 1000.0), producer_id, fan_out
      FROM draft_events JOIN draft_endpoints e USING (merchant, endpoint)
      ORDER BY ms`,
  };
}

export const INSERT_KEYS = `
  INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, event_ids, created_at)
  SELECT 'event', producer_id, e.merchant_id, sha256(uuid_send(id)), ARRAY[id], to_timestamp(ms / 1000.0)
  FROM draft_events JOIN draft_endpoints e USING (merchant, endpoint)
  WHERE producer_id IS NOT NULL
  ORDER BY producer_id`;

export const DELIVERY_ROWS: Rows = {
  columns: `id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, attempt_count, last_number, last_outcome,
            last_status_code, last_error_code, last_duration_ms, completed_at`,
  select: `
    SELECT d.id, d.event_id, d.endpoint_id, d.merchant_id, d.type, 'envelope'::text, d.status, d.attempts, a.number, a.outcome,
           a.code, a.error, a.duration_ms,
           CASE WHEN d.status NOT IN ('pending', 'retrying')
                THEN to_timestamp((coalesce(a.ms, d.ms) + coalesce(a.duration_ms, 0)) / 1000.0) END
    FROM draft_deliveries d
    LEFT JOIN draft_attempts a ON a.delivery_id = d.id AND a.is_last
    ORDER BY d.ms`,
};

/** Of a paused endpoint they are due and stay; the others are not due while the benchmark runs. */
export const INSERT_OPEN = `
  INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, attempt_number, failures,
                               trigger, payload_format, data_bytes)
  SELECT d.id, event_id, d.endpoint_id, d.merchant_id, due_at, due_at, attempts, attempts,
         CASE attempts WHEN 0 THEN 'initial' ELSE 'retry' END, 'envelope', $1::int
  FROM draft_deliveries d
  JOIN draft_endpoints e USING (endpoint_id)
  CROSS JOIN LATERAL (SELECT CASE WHEN d.ms >= e.held_from_ms THEN to_timestamp(d.ms / 1000.0)
                                  ELSE now() + CASE attempts WHEN 0 THEN interval '10 days' ELSE interval '10 hours' END
                             END AS due_at) AS due
  WHERE status IN ('pending', 'retrying')`;

/** A header of an attempt's request, as its JSON text holds it. */
function header(name: string, value: string): string {
  return `'["${name}","' || ${value} || '"],'`;
}

/** As large as real ones: an id has 30 characters on the wire. */
export const ATTEMPT_ROWS: Rows = {
  columns: `id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, status_code, error_code,
            error_message, request_url, request_headers, response_headers, response_body, response_body_truncated,
            remote_address`,
  select: `
    SELECT ${uuidOf('ms')}, delivery_id, merchant_id, number, CASE number WHEN 1 THEN 'initial' ELSE 'retry' END,
           to_timestamp(ms / 1000.0), duration_ms, outcome, code, error,
           CASE WHEN error IS NOT NULL THEN 'The receiver could not be reached, or did not answer in time.' END,
           'https://hooks.shop.example/' || left(endpoint_id::text, 23),
           '[["content-type","application/json"],["user-agent","Posthorn/0.1.0"],' ||
             ${header('X-Posthorn-Event-Id', "'evt_' || left(event_id::text, 26)")} ||
             ${header('X-Posthorn-Event-Type', 'type')} ||
             ${header('X-Posthorn-Delivery-Id', "'dlv_' || left(delivery_id::text, 26)")} ||
             ${header('X-Posthorn-Attempt', 'number')} ||
             ${header('webhook-id', "'evt_' || left(event_id::text, 26)")} ||
             ${header('webhook-timestamp', 'ms / 1000')} ||
             '["X-Posthorn-Signature","***"],["webhook-signature","***"]]',
           CASE WHEN code IS NOT NULL THEN '[["date","Sun, 22 Nov 2026 18:14:18 GMT"],["connection","keep-alive"],' ||
             '["keep-alive","timeout=5"],["content-type","application/json"],["content-length","17"]]' END,
           CASE WHEN code IS NOT NULL THEN convert_to('{"received":true}', 'UTF8') END,
           CASE WHEN code IS NOT NULL THEN false END, '127.0.0.1'::text
    FROM draft_attempts`,
};

const COUNTED_MS = 300_000;
/** Where each bucket of the latency histogram but the first begins. */
const BUCKET_FLOORS = Array.from({ length: latencyBucket(TIMEOUT_MS) }, (_, index) =>
  latencyBucketFloorMs(index + 1),
);

/** The statistics of the attempts, as settle counts them and as they are packed once their periods are over. */
export function insertStats(nowMs: number): readonly [packed: string, counted: string] {
  const ends = STATS_WIDTHS.map(({ olderThanMs, widthMs }) => ({
    widthMs,
    beforeMs: Math.floor((nowMs - olderThanMs) / widthMs) * widthMs,
  }));
  const packedUntilMs = Math.max(...ends.map(({ beforeMs }) => beforeMs));
  const width = `CASE ${ends.map(({ beforeMs, widthMs }) => `WHEN ms < ${beforeMs} THEN ${widthMs}`).join(' ')} ELSE ${COUNTED_MS} END`;
  const counts = (which: string) => `
    SELECT endpoint_id, merchant_id, outcome, width_bucket(duration_ms, '{${BUCKET_FLOORS.join()}}'::int[]) AS bucket,
           to_timestamp((ms - ms % width) / 1000) AS period, count(*) AS attempts
    FROM (SELECT *, ${width} AS width FROM draft_attempts WHERE ms ${which}) AS attempts
    GROUP BY 1, 2, 3, 4, 5`;
  return [
    `INSERT INTO delivery_stats_packed (endpoint_id, period_start, merchant_id, counts)
     SELECT endpoint_id, period, merchant_id, json_object_agg(outcome, buckets)
     FROM (SELECT endpoint_id, period, merchant_id, outcome,
                  json_agg(json_build_array(bucket, attempts) ORDER BY bucket) AS buckets
           FROM (${counts(`< ${packedUntilMs}`)}) AS counts
           GROUP BY 1, 2, 3, 4) AS by_outcome
     GROUP BY 1, 2, 3`,
    `INSERT INTO delivery_stats (endpoint_id, period_start, outcome, latency_bucket, merchant_id, attempts)
     SELECT endpoint_id, period, outcome, bucket, merchant_id, attempts FROM (${counts(`>= ${packedUntilMs}`)}) AS counts`,
  ];
}
