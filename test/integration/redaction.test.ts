import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { cancelDelivery } from '#adapters/postgres/cancel-deliveries.js';
import { EventLog } from '#adapters/postgres/event-log.js';
import { putEventType } from '#adapters/postgres/event-types.js';
import { maskEvents } from '#adapters/postgres/mask-events.js';
import { retryDelivery, type RetryOutcome } from '#adapters/postgres/retry-delivery.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

/**
 * When stored bytes are masked, and that masked ones are never sent. The pipeline is real; the sweep of the worker is
 * called by hand, after its rows were made due, so that nothing here waits for a clock.
 */
const TYPE = 'card.charged';
const JSON_TEXT = '{ "card":{"pan":"4111111111111111","n":1.10}, "card":{"pan":4111111111111111} }';
const MASKED = '{ "card":{"pan":"[redacted]","n":1.10}, "card":{"pan":"[redacted]"} }';

let db: TestDatabase;
let rig: PipelineRig;
let receiver: Receiver;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  receiver = await startReceiver();
  receiver.on('/refuses', respond(500));
  await redact(TYPE, ['/card/pan']);
}, 60_000);

afterAll(async () => {
  await rig.close();
  await receiver.close();
  await db.drop();
});

beforeEach(async () => {
  merchantId = await rig.merchant();
  endpointId = await rig.endpoint(merchantId, receiver.url('/takes'), { retryScheduleSeconds: [] });
});

async function redact(type: string, pointers: string[]): Promise<void> {
  const nothing = { description: null, schema: null, example: null, retryScheduleSeconds: null };
  const definition = { ...nothing, redact: pointers };
  await putEventType(
    rig.database,
    type,
    rig.ids.uuid(),
    definition,
    () => undefined,
    () => Promise.resolve(),
  );
}

interface Sent {
  readonly eventId: string;
  readonly deliveryIds: readonly string[];
}

async function send(producerId: string | null = null): Promise<Sent> {
  const outcome = await rig.send(rig.draft(merchantId, { type: TYPE, json: JSON_TEXT, producerId }));
  expect(outcome.kind).toBe('accepted');
  const [event] = await rig.database.$queryRaw<{ id: string }[]>`
    SELECT id FROM events WHERE merchant_id = ${merchantId}::uuid ORDER BY id DESC LIMIT 1`;
  const eventId = event?.id ?? '';
  const rows = await rig.database.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE event_id = ${eventId}::uuid`;
  return { eventId, deliveryIds: rows.map(({ id }) => id) };
}

async function becomes(status: string, { eventId }: Sent): Promise<void> {
  await eventually(async () => {
    const rows = await rig.database.$queryRaw<{ status: string; isOpen: boolean }[]>`
      SELECT status, EXISTS (SELECT FROM open_deliveries o WHERE o.delivery_id = d.id) AS "isOpen"
      FROM deliveries d WHERE event_id = ${eventId}::uuid`;
    expect(rows).toEqual(rows.map(() => ({ status, isOpen: false })));
  });
}

async function sweep(): Promise<number> {
  await rig.database.$executeRaw`UPDATE event_redactions SET due_at = now()`;
  return (await maskEvents(rig.database, 100)).masked;
}

async function stored({ eventId }: Sent): Promise<{ data: string; isRedacted: boolean; isDue: boolean }> {
  const [row] = await rig.database.$queryRaw<{ data: Uint8Array; isRedacted: boolean; isDue: boolean }[]>`
    SELECT data, redacted_at IS NOT NULL AS "isRedacted",
           EXISTS (SELECT FROM event_redactions r WHERE r.event_id = e.id) AS "isDue"
    FROM events e WHERE id = ${eventId}::uuid`;
  if (row === undefined) throw new Error('the event is gone');
  return { ...row, data: Buffer.from(row.data).toString() };
}

async function daysPass(days: number, { eventId }: Sent): Promise<void> {
  await rig.database.$executeRaw`
    UPDATE deliveries SET completed_at = completed_at - ${days} * interval '1 day' WHERE event_id = ${eventId}::uuid`;
}

async function retry({ deliveryIds }: Sent): Promise<RetryOutcome> {
  const outcome = await retryDelivery(rig.database, { id: deliveryIds[0] ?? '' });
  if (outcome.kind === 'due') rig.dispatcher.retrying([{ ...outcome.delivery, delayMs: 0 }]);
  return outcome;
}

async function fails(): Promise<Sent> {
  await rig.database.endpoint.update({
    where: { id: endpointId },
    data: { url: receiver.url('/refuses'), version: { increment: 1 } },
  });
  const sent = await send();
  await becomes('failed', sent);
  return sent;
}

async function mends(): Promise<void> {
  await rig.database.endpoint.update({
    where: { id: endpointId },
    data: { url: receiver.url('/takes'), version: { increment: 1 } },
  });
}

const REAL = { data: JSON_TEXT, isRedacted: false, isDue: true };
const GONE = { data: MASKED, isRedacted: true, isDue: false };

describe('what is stored', () => {
  test('is masked once the delivery has succeeded; the receiver had the real bytes', async () => {
    const sent = await send();
    await becomes('succeeded', sent);
    expect(await stored(sent)).toEqual(REAL);
    expect(await sweep()).toBe(1);
    expect(await stored(sent)).toEqual(GONE);
    expect(receiver.requests.at(-1)?.body.toString()).toContain(`"data":${JSON_TEXT}}`);
    expect(await retry(sent)).toEqual({ kind: 'data_erased' });
    expect(await sweep()).toBe(0);
  });

  test('is masked once the delivery was cancelled', async () => {
    await rig.database.endpointGate.update({ where: { endpointId }, data: { status: 'paused' } });
    const sent = await send();
    expect(await sweep()).toBe(0);
    expect(await cancelDelivery(rig.database, { id: sent.deliveryIds[0] ?? '' })).toBe('cancelled');
    expect(await sweep()).toBe(1);
    expect(await stored(sent)).toEqual(GONE);
  });

  test('is masked at once where nobody gets the event', async () => {
    await rig.database.endpoint.update({ where: { id: endpointId }, data: { events: ['other'] } });
    await rig.database.merchant.update({
      where: { id: merchantId },
      data: { configVersion: { increment: 1 } },
    });
    const sent = await send();
    expect(sent.deliveryIds).toEqual([]);
    expect(await maskEvents(rig.database, 100)).toMatchObject({ masked: 1 });
    expect(await stored(sent)).toEqual(GONE);
  });

  test('waits for the last of several deliveries', async () => {
    const other = await rig.endpoint(merchantId, receiver.url('/takes'));
    await rig.database.endpointGate.update({ where: { endpointId: other }, data: { status: 'paused' } });
    const sent = await send();
    await eventually(async () => {
      const done = await rig.database.$queryRaw<unknown[]>`
        SELECT FROM deliveries WHERE event_id = ${sent.eventId}::uuid AND status = 'succeeded'`;
      expect(done).toHaveLength(1);
    });
    expect(await sweep()).toBe(0);
    expect(await stored(sent)).toEqual(REAL);
    for (const id of sent.deliveryIds) await cancelDelivery(rig.database, { id });
    expect(await sweep()).toBe(1);
  });

  test('of one that failed is kept for seven days', async () => {
    const sent = await fails();
    expect(await sweep()).toBe(0);
    await daysPass(6.99, sent);
    expect(await sweep()).toBe(0);
    expect(await stored(sent)).toEqual(REAL);
    await daysPass(0.02, sent);
    expect(await sweep()).toBe(1);
    expect(await stored(sent)).toEqual(GONE);
    expect(await retry(sent)).toEqual({ kind: 'data_erased' });
  });

  test('of one that failed and then succeeded by hand is masked without waiting', async () => {
    const sent = await fails();
    await mends();
    expect(await retry(sent)).toMatchObject({ kind: 'due' });
    await becomes('succeeded', sent);
    expect(receiver.requests.at(-1)?.body.toString()).toContain(JSON_TEXT);
    expect(await sweep()).toBe(1);
  });

  test('is masked by the pointers of when it was accepted and by those that the type has now', async () => {
    const sent = await send();
    await becomes('succeeded', sent);
    await redact(TYPE, ['/card/n']);
    const shown = await new EventLog(rig.database).find({ id: sent.eventId });
    const both = MASKED.replace('1.10', '"[redacted]"');
    expect(Buffer.from(shown?.data ?? []).toString()).toBe(both);
    expect(await sweep()).toBe(1);
    expect(await stored(sent)).toMatchObject({ data: both });
    await redact(TYPE, ['/card/pan']);
  });

  test('the same id with the same content is still the same, and with other content a conflict', async () => {
    const sent = await send('pay-1');
    await becomes('succeeded', sent);
    expect(await sweep()).toBe(1);
    const draft = (json: string) => rig.draft(merchantId, { type: TYPE, producerId: 'pay-1', json });
    expect(await rig.send(draft(JSON_TEXT))).toMatchObject({
      kind: 'accepted',
      events: [{ publicId: 'pay-1' }],
    });
    expect(await rig.send(draft(MASKED))).toMatchObject({ kind: 'conflict', index: 0 });
  });

  test('of a type without pointers leaves no row behind, and stays', async () => {
    await rig.send(rig.draft(merchantId, { type: 'plain', json: JSON_TEXT }));
    expect(await rig.database.eventRedaction.count()).toBe(0);
  });

  test('of events that are gone or erased leaves no row behind', async () => {
    const erased = await send();
    await becomes('succeeded', erased);
    await rig.database.$executeRaw`UPDATE events SET data = NULL WHERE id = ${erased.eventId}::uuid`;
    await rig.database.$executeRaw`
      INSERT INTO event_redactions (event_id, pointers, due_at)
      VALUES ('01900000-0000-7000-8000-000000000000', '{/a}', now())`;
    expect(await sweep()).toBe(0);
    expect(await rig.database.eventRedaction.count()).toBe(0);
  });

  test('a batch is looked at within its limit, and what is not done is looked at later', async () => {
    await rig.database.endpointGate.update({ where: { endpointId }, data: { status: 'paused' } });
    const sent = [await send(), await send(), await send()];
    await rig.database.$executeRaw`UPDATE event_redactions SET due_at = now()`;
    expect(await maskEvents(rig.database, 2)).toEqual({ looked: 2, masked: 0 });
    expect(await maskEvents(rig.database, 2)).toEqual({ looked: 1, masked: 0 });
    expect(await maskEvents(rig.database, 2)).toEqual({ looked: 0, masked: 0 });
    for (const { deliveryIds } of sent) await cancelDelivery(rig.database, { id: deliveryIds[0] ?? '' });
    expect(await sweep()).toBe(3);
  });
});

describe('masking and retrying at the same time', () => {
  test('a retry that has not committed yet keeps the event from being masked', async () => {
    const sent = await fails();
    await mends();
    await daysPass(8, sent);
    await rig.database.$transaction(async (tx) => {
      expect(await retryDelivery(tx, { id: sent.deliveryIds[0] ?? '' })).toMatchObject({ kind: 'due' });
      expect(await sweep()).toBe(0);
    });
    expect(await sweep()).toBe(0);
    expect(await stored(sent)).toEqual(REAL);
    await rig.database
      .$executeRaw`DELETE FROM open_deliveries WHERE delivery_id = ${sent.deliveryIds[0]}::uuid`;
    expect(await sweep()).toBe(1);
  });

  test('a retry waits for a masking that has not committed yet, and is refused after it', async () => {
    const sent = await fails();
    const masking = Promise.withResolvers<undefined>();
    const holds = Promise.withResolvers<undefined>();
    const transaction = rig.database.$transaction(async (tx) => {
      await tx.$executeRaw`UPDATE events SET redacted_at = now() WHERE id = ${sent.eventId}::uuid`;
      holds.resolve(undefined);
      await masking.promise;
    });
    await holds.promise;
    const retried = retry(sent);
    await eventually(async () => {
      const waiting = await rig.database.$queryRaw<unknown[]>`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      expect(waiting).toHaveLength(1);
    });
    masking.resolve(undefined);
    await transaction;
    expect(await retried).toEqual({ kind: 'data_erased' });
    expect(
      await rig.database.$queryRaw`SELECT FROM open_deliveries WHERE event_id = ${sent.eventId}::uuid`,
    ).toEqual([]);
  });

  test('whoever comes first: forty times, masked bytes never leave', async () => {
    receiver.requests.length = 0;
    let refused = 0;
    for (let round = 0; round < 40; round++) {
      const sent = await send();
      await becomes('succeeded', sent);
      const [outcome] = await Promise.all([retry(sent), sweep()]);
      if (outcome.kind === 'data_erased') {
        refused += 1;
        expect(await stored(sent)).toEqual(GONE);
      } else {
        expect(outcome.kind).toBe('due');
        await eventually(() => expect(receiver.requests.length).toBe(2 * (round + 1) - refused));
        await becomes('succeeded', sent);
      }
    }
    expect(receiver.requests).toHaveLength(80 - refused);
    for (const { body } of receiver.requests) expect(body.toString()).toContain(JSON_TEXT);
  });

  test('a delivery that was opened past all of this is not sent, and cancelled', async () => {
    const sent = await send();
    await becomes('succeeded', sent);
    await sweep();
    expect(await stored(sent)).toEqual(GONE);
    const [deliveryId = ''] = sent.deliveryIds;
    await rig.database.$executeRaw`
      INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, payload_format,
                                   data_bytes)
      SELECT id, event_id, endpoint_id, merchant_id, now(), now(), payload_format, 10
      FROM deliveries WHERE id = ${deliveryId}::uuid`;
    const before = receiver.requests.length;
    expect(await (await rig.deliverer.begin('fast', [deliveryId])).ended).toEqual([{ kind: 'dropped' }]);
    expect(receiver.requests).toHaveLength(before);
    const open = await rig.database.$queryRaw<unknown[]>`
      SELECT FROM open_deliveries WHERE delivery_id = ${deliveryId}::uuid`;
    expect(open).toEqual([]);
  });
});
