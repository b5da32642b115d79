// Injected: nothing into Posthorn; the evidence and the database are falsified one thing at a time.
// Observed: what the oracle of the fault tests says.
// Must hold: it finds nothing in what is whole, and each falsification by itself, so that its silence elsewhere means
//   something.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AcceptedEvent } from '#testkit/faults/event-load.js';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { type Evidence, judge, withClient } from '#testkit/faults/oracle.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';

let rig: FaultRig;
let evidence: Evidence;
let first: AcceptedEvent;
let firstRequest: ReceivedRequest;

beforeAll(async () => {
  rig = await startFaultRig({ queue: 'postgres' });
  const load = rig.load(10);
  load.burst(4);
  await load.stop();
  await rig.settled(20_000);
  evidence = {
    databaseUrl: rig.installation.database.databaseUrl,
    accepted: load.accepted,
    tried: load.tried,
    requests: rig.receiver.requests,
    webhooks: rig.webhooks,
    fault: { beganAtUnixMs: 0, endedAtUnixMs: Date.now() },
  };
  first = [...load.accepted.values()][0] as AcceptedEvent;
  firstRequest = rig.receiver.requests[0] as ReceivedRequest;
}, 60_000);

afterAll(async () => {
  await rig.close();
}, 30_000);

test('finds nothing in what is whole', async () => {
  expect(await judge(evidence, true)).toMatchObject({ violations: [], lost: 0, duplicates: 0 });
});

const withEvent = (event: Partial<AcceptedEvent>): Partial<Evidence> => ({
  accepted: new Map([...evidence.accepted, [event.id ?? first.id, { ...first, ...event }]]),
  tried: new Set([...evidence.tried, event.id ?? first.id]),
});
const withRequest = (request: Partial<ReceivedRequest>): Partial<Evidence> => ({
  requests: [...evidence.requests.slice(1), { ...firstRequest, ...request }],
});

test.each<[string, number, RegExp, () => Partial<Evidence>]>([
  ['an event that is nowhere', 1, /not in the database/, () => withEvent({ id: 'load0-999' })],
  ['a delivery too few', 1, /promised 7 deliveries/, () => withEvent({ deliveries: 7 })],
  ['other bytes stored', 0, /data is not what was sent/, () => withEvent({ data: '{}' })],
  ['another merchant', 0, /another merchant/, () => withEvent({ merchantId: 'mrc_x' })],
  ['a request that is missing', 1, /never got it/, () => ({ requests: evidence.requests.slice(1) })],
  ['other bytes sent', 0, /bytes are not/, () => withRequest({ body: Buffer.from('{}') })],
  ['a wrong path', 0, /not its merchant/, () => withRequest({ path: '/elsewhere' })],
  ['a number twice', 0, /have this number/, () => ({ requests: [...evidence.requests, firstRequest] })],
  [
    'an event that nobody sent',
    0,
    /was never sent/,
    () => ({ tried: new Set([...evidence.tried].slice(1)) }),
  ],
  [
    'an attempt that is not logged',
    0,
    /no attempt of this number/,
    () => withRequest({ headers: { ...firstRequest.headers, 'x-posthorn-attempt': '2' } }),
  ],
  [
    'another secret',
    0,
    /signatures do not verify/,
    () => ({ webhooks: evidence.webhooks.map((webhook) => ({ ...webhook, secrets: ['whsec_AAAA'] })) }),
  ],
  [
    'an old signature',
    0,
    /signatures/,
    () => withRequest({ arrivedAtUnixMs: firstRequest.arrivedAtUnixMs + 60_000 }),
  ],
])('finds %s', async (_name, lost, violation, falsified) => {
  const verdict = await judge({ ...evidence, ...falsified() }, true);
  expect(verdict.violations.join('\n')).toMatch(violation);
  expect(verdict.lost).toBe(lost);
});

test.each([
  ['a delivery that nobody will send', /nobody will send it/, `UPDATE deliveries SET status = 'retrying'`],
  ['a delivery that has not succeeded', /is failed/, `UPDATE deliveries SET status = 'failed'`],
  ['an attempt of another merchant', /one merchant's/, 'UPDATE attempts SET merchant_id = gen_random_uuid()'],
  [
    'two attempts with one number',
    /share a number/,
    `INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('id', overlay(a.id::text placing 'ffff' from 33)))).*
     FROM attempts a`,
  ],
  [
    'a delivery that is hidden',
    /hidden from the sweep/,
    `WITH open AS (UPDATE deliveries SET status = 'pending' RETURNING *)
     INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, payload_format, data_bytes)
     SELECT id, event_id, endpoint_id, merchant_id, now(), now() + interval '1 hour', payload_format, 0 FROM open`,
  ],
])('finds %s in the database', async (_name, violation, sql) => {
  const { databaseUrl } = evidence;
  const saved = ['deliveries', 'attempts'];
  // With the workers gone, nothing mends what is broken here.
  await Promise.all(rig.liveWorkers().map((worker) => worker.end('SIGKILL')));
  await withClient(databaseUrl, async (client) => {
    for (const table of saved) await client.query(`CREATE TABLE saved_${table} AS TABLE ${table}`);
    await client.query(sql);
  });
  const verdict = await judge(evidence, true);
  await withClient(databaseUrl, async (client) => {
    await client.query('TRUNCATE attempts, open_deliveries');
    await client.query(`UPDATE deliveries d SET status = s.status FROM saved_deliveries s WHERE s.id = d.id`);
    await client.query('INSERT INTO attempts SELECT * FROM saved_attempts');
    for (const table of saved) await client.query(`DROP TABLE saved_${table}`);
  });
  expect(verdict.violations.join('\n')).toMatch(violation);
  expect(await judge(evidence, true)).toMatchObject({ violations: [] });
});
