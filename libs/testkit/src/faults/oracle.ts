import { createHmac } from 'node:crypto';
import pg from 'pg';
import { formatId } from '#domain/ids.js';
import type { ReceivedRequest } from '../receiver/received-request.js';
import type { AcceptedEvent } from './event-load.js';

/** A webhook as the oracle knows it, independently of the database. */
export interface KnownWebhook {
  readonly id: string;
  readonly merchantId: string;
  /** The path of the receiver that is its own. */
  readonly path: string;
  /** Those that may have signed. */
  readonly secrets: readonly string[];
}

export interface Evidence {
  readonly databaseUrl: string;
  readonly accepted: ReadonlyMap<string, AcceptedEvent>;
  /** Events that were tried and may be there without a 202 that anybody saw. */
  readonly tried: ReadonlySet<string>;
  readonly requests: readonly ReceivedRequest[];
  readonly webhooks: readonly KnownWebhook[];
  /** When the fault began and was over, by this machine's clock. */
  readonly fault: { readonly beganAtUnixMs: number; readonly endedAtUnixMs: number };
}

export interface Verdict {
  /** Everything that must not be, in words. */
  readonly violations: readonly string[];
  /** Accepted events of which something is missing or stranded. */
  readonly lost: number;
  /** Requests for a delivery that another request had reached the receiver for, beyond those of failed attempts. */
  readonly duplicates: number;
  /** For each delivery committed before the fault was over and ended after it began: from the fault's end to its own. */
  readonly recoveryMs: readonly number[];
}

/**
 * Joins what the producer was promised, what the receiver got and what the database says, and finds every
 * contradiction. To be asked when the load has stopped, at any state of the deliveries.
 *
 * @param hasEnded whether every delivery must have succeeded by now; else it is enough that none is stranded
 */
export async function judge(evidence: Evidence, hasEnded: boolean): Promise<Verdict> {
  const stored = await readDatabase(evidence.databaseUrl);
  const violations: string[] = [];
  const lost = new Set<string>();

  const requestsByDelivery = Map.groupBy(evidence.requests, deliveryIdOf);
  const eventsById = new Map(stored.events.map((event) => [event.id, event]));
  const deliveriesByEvent = Map.groupBy(stored.deliveries, ({ event_id }) => event_id);
  const attemptsByDelivery = Map.groupBy(stored.attempts, ({ delivery_id }) => delivery_id);
  const openById = new Map(stored.open.map((open) => [open.delivery_id, open]));
  const endpointsById = new Map(stored.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const idsByProducer = new Map(stored.events.map((event) => [event.producer_id, event.id]));

  for (const event of evidence.accepted.values()) {
    const id = idsByProducer.get(event.id);
    const row = id === undefined ? undefined : eventsById.get(id);
    if (row === undefined) {
      lost.add(event.id);
      violations.push(`${event.id} got a 202 and is not in the database`);
      continue;
    }
    const deliveries = deliveriesByEvent.get(row.id) ?? [];
    if (deliveries.length !== event.deliveries || row.delivery_count !== event.deliveries) {
      lost.add(event.id);
      violations.push(`${event.id} was promised ${event.deliveries} deliveries and has ${deliveries.length}`);
    }
    if (row.data?.toString('utf8') !== event.data)
      violations.push(`${event.id}: its data is not what was sent`);
    if (formatId('mrc', row.merchant_id) !== event.merchantId)
      violations.push(`${event.id}: another merchant's`);
    for (const delivery of deliveries) {
      const problem = strandedProblem(delivery, openById.get(delivery.id), stored.nowMs);
      const unended = hasEnded && delivery.status !== 'succeeded' ? `is ${delivery.status}` : null;
      const unsent =
        delivery.status === 'succeeded' && !requestsByDelivery.has(formatId('dlv', delivery.id))
          ? 'succeeded, and the receiver never got it'
          : null;
      for (const found of [problem, unended, unsent]) {
        if (found === null) continue;
        lost.add(event.id);
        violations.push(`${event.id}: delivery ${delivery.id} ${found}`);
      }
    }
  }
  if (idsByProducer.size !== stored.events.length) {
    violations.push(`${stored.events.length} events have ${idsByProducer.size} ids of the producer's`);
  }
  for (const { producer_id: id } of stored.events) {
    if (id === null || !evidence.tried.has(id)) violations.push(`event ${String(id)} was never sent`);
  }

  for (const delivery of stored.deliveries) {
    const owners = [
      eventsById.get(delivery.event_id)?.merchant_id,
      endpointsById.get(delivery.endpoint_id)?.merchant_id,
      ...(attemptsByDelivery.get(delivery.id) ?? []).map(({ merchant_id }) => merchant_id),
      openById.get(delivery.id)?.merchant_id ?? delivery.merchant_id,
    ];
    if (owners.some((owner) => owner !== delivery.merchant_id)) {
      violations.push(`delivery ${delivery.id}: not everything of it is one merchant's: ${owners.join()}`);
    }
    const numbers = (attemptsByDelivery.get(delivery.id) ?? []).map(({ number }) => number);
    if (new Set(numbers).size !== numbers.length) {
      violations.push(`delivery ${delivery.id}: attempts ${numbers.join()} share a number`);
    }
  }

  violations.push(...wrongRequests(evidence, stored, attemptsByDelivery));
  return {
    violations,
    lost: lost.size,
    duplicates: duplicatesIn(requestsByDelivery, stored.attempts),
    recoveryMs: recoveryOf(evidence, stored.deliveries, eventsById),
  };
}

interface EventRow {
  id: string;
  merchant_id: string;
  producer_id: string | null;
  type: string;
  data: Buffer | null;
  created_at: Date;
  delivery_count: number;
}
interface DeliveryRow {
  id: string;
  event_id: string;
  endpoint_id: string;
  merchant_id: string;
  status: string;
  completed_at: Date | null;
}
interface OpenRow {
  delivery_id: string;
  merchant_id: string;
  due_at: Date;
  hinted_until: Date;
  lease_until: Date | null;
  single: boolean;
}
interface AttemptRow {
  delivery_id: string;
  merchant_id: string;
  number: number;
  outcome: string;
}
interface Stored {
  readonly nowMs: number;
  readonly events: readonly EventRow[];
  readonly deliveries: readonly DeliveryRow[];
  readonly open: readonly OpenRow[];
  readonly attempts: readonly AttemptRow[];
  readonly endpoints: readonly { id: string; merchant_id: string }[];
}

async function readDatabase(databaseUrl: string): Promise<Stored> {
  return withClient(databaseUrl, async (client) => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const rows = async <Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> =>
      (await client.query<Row>(sql)).rows;
    return {
      nowMs: ((await rows<{ now: Date }>('SELECT now()'))[0]?.now ?? new Date(0)).getTime(),
      events: await rows<EventRow>(
        'SELECT id, merchant_id, producer_id, type, data, created_at, delivery_count FROM events',
      ),
      deliveries: await rows<DeliveryRow>(
        'SELECT id, event_id, endpoint_id, merchant_id, status, completed_at FROM deliveries',
      ),
      open: await rows<OpenRow>(
        'SELECT delivery_id, merchant_id, due_at, hinted_until, lease_until, single FROM open_deliveries',
      ),
      attempts: await rows<AttemptRow>('SELECT delivery_id, merchant_id, number, outcome FROM attempts'),
      endpoints: await rows<{ id: string; merchant_id: string }>('SELECT id, merchant_id FROM endpoints'),
    };
  });
}

/** One connection for one look, so that no pool outlives a server that is stopped. */
export async function withClient<Result>(
  databaseUrl: string,
  look: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000 });
  // An error of the connection reaches whoever waits for a query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await look(client);
  } finally {
    await client.end();
  }
}

/** A delivery is final and closed, or open with a time at which somebody will look at it again. */
function strandedProblem(delivery: DeliveryRow, open: OpenRow | undefined, nowMs: number): string | null {
  const isFinal = ['succeeded', 'failed', 'cancelled'].includes(delivery.status);
  // What succeeded stays so while a recovery sends it again.
  const mayBeOpen = open?.single === true || delivery.status === 'succeeded';
  if (isFinal) return open === undefined || mayBeOpen ? null : `is ${delivery.status} and still open`;
  if (open === undefined) return `is ${delivery.status} and nobody will send it`;
  if (open.lease_until !== null) {
    const leftMs = open.lease_until.getTime() - nowMs;
    return leftMs > LEASE_MS_MAX ? `is leased for ${leftMs} ms more` : null;
  }
  const hiddenMs = open.hinted_until.getTime() - Math.max(nowMs, open.due_at.getTime());
  return hiddenMs > HINTED_MS_MAX ? `is hidden from the sweep for ${hiddenMs} ms after it is due` : null;
}

function wrongRequests(
  { requests, webhooks, accepted, tried }: Evidence,
  stored: Stored,
  attemptsByDelivery: ReadonlyMap<string, readonly AttemptRow[]>,
): string[] {
  const violations: string[] = [];
  const byProducer = new Map(stored.events.map((event) => [event.producer_id ?? '', event]));
  const webhookByPath = new Map(webhooks.map((webhook) => [webhook.path, webhook]));
  const logged = new Set(
    [...attemptsByDelivery].flatMap(([id, rows]) =>
      rows.map((row) => `${formatId('dlv', id)} ${row.number}`),
    ),
  );
  const open = new Set(stored.open.map(({ delivery_id: id }) => formatId('dlv', id)));
  const seen = new Set<string>();
  for (const request of requests) {
    const eventId = String(request.headers['x-posthorn-event-id']);
    const deliveryId = deliveryIdOf(request);
    const attempt = `${deliveryId} ${String(request.headers['x-posthorn-attempt'])}`;
    const found = (what: string): unknown => violations.push(`request ${attempt} of ${eventId}: ${what}`);
    const webhook = webhookByPath.get(request.path);
    const event = byProducer.get(eventId);
    if (!tried.has(eventId) || event === undefined) {
      found('nobody sent such an event');
      continue;
    }
    if (webhook?.merchantId !== formatId('mrc', event.merchant_id)) {
      found(`it went to ${request.path}, which is not its merchant's`);
      continue;
    }
    if (seen.has(attempt)) found('two requests have this number');
    seen.add(attempt);
    // A lease that has not ended is the one place where a request may be that the log does not know yet.
    if (!logged.has(attempt) && !open.has(deliveryId)) found('no attempt of this number is in the log');
    const data = accepted.get(eventId)?.data ?? event.data?.toString('utf8') ?? '';
    if (request.body.toString('utf8') !== bodyOf(eventId, event, data))
      found('its bytes are not the event’s');
    if (!isSigned(request, webhook.secrets, eventId)) found('its signatures do not verify');
  }
  return violations;
}

function bodyOf(eventId: string, { type, created_at: createdAt }: EventRow, data: string): string {
  const created = `${createdAt.toISOString().slice(0, 19)}Z`;
  return `{"id":"${eventId}","type":"${type}","created_at":"${created}","data":${data}}`;
}

/** Both schemes of the default dialect, by the book and not by our own code. */
function isSigned(
  { headers, body, arrivedAtUnixMs }: ReceivedRequest,
  secrets: readonly string[],
  eventId: string,
): boolean {
  const timestamp = String(headers['webhook-timestamp']);
  const ageMs = Math.abs(Number(timestamp) * 1_000 - arrivedAtUnixMs);
  const given = String(headers['webhook-signature']).split(' ');
  const oldest = (secret: string): string => createHmac('sha256', secret).update(body).digest('hex');
  const standard = (secret: string): string =>
    createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
      .update(`${eventId}.${timestamp}.`)
      .update(body)
      .digest('base64');
  return (
    headers['webhook-id'] === eventId &&
    ageMs <= TIMESTAMP_TOLERANCE_MS &&
    secrets.some((secret) => given.includes(`v1,${standard(secret)}`)) &&
    secrets.some((secret) => headers['x-posthorn-signature'] === `sha256=${oldest(secret)}`)
  );
}

/** Attempts that a receiver has failed are no duplicates; the further ones of the others are. */
function duplicatesIn(
  requestsByDelivery: ReadonlyMap<string, readonly ReceivedRequest[]>,
  attempts: readonly AttemptRow[],
): number {
  const failed = new Set(
    attempts
      .filter(({ outcome }) => outcome !== 'succeeded' && outcome !== 'unknown')
      .map((row) => `${formatId('dlv', row.delivery_id)} ${row.number}`),
  );
  let duplicates = 0;
  for (const [id, requests] of requestsByDelivery) {
    const delivered = requests.filter(
      ({ headers }) => !failed.has(`${id} ${String(headers['x-posthorn-attempt'])}`),
    );
    duplicates += Math.max(0, delivered.length - 1);
  }
  return duplicates;
}

function recoveryOf(
  { fault }: Evidence,
  deliveries: readonly DeliveryRow[],
  eventsById: ReadonlyMap<string, EventRow>,
): number[] {
  return deliveries.flatMap(({ event_id: eventId, completed_at: completedAt }) => {
    if (completedAt === null || completedAt.getTime() < fault.beganAtUnixMs) return [];
    const event = eventsById.get(eventId);
    if (event === undefined || event.created_at.getTime() > fault.endedAtUnixMs) return [];
    return [Math.max(0, completedAt.getTime() - fault.endedAtUnixMs)];
  });
}

function deliveryIdOf({ headers }: ReceivedRequest): string {
  return String(headers['x-posthorn-delivery-id']);
}

/** The longest timeout of an endpoint and the grace after it. */
const LEASE_MS_MAX = 35_000;
/** A hint hides a delivery from the sweep for 15 s; more than this is a delivery that nobody looks for. */
const HINTED_MS_MAX = 20_000;
/** Between signing and arrival on one machine, and the second that the timestamp was cut to. */
const TIMESTAMP_TOLERANCE_MS = 20_000;
