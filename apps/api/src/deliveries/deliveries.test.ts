import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  addDelivery,
  addEndpoint,
  DAY_ONE_MS,
  DAY_TWO_MS,
  type DeliveryFixture,
  openRow,
  statusOf,
  testIds,
} from '#adapters/postgres/delivery-log-fixtures.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { formatId, parseId } from '#domain/ids.js';
import type { Hint, HintQueue } from '#pipeline/hint-queue.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiAnswer, type ApiUnderTest, startApi } from '../api-harness.js';
import type { AttemptView, DeliveryView } from './delivery.schema.js';

interface Page {
  readonly data: DeliveryView[];
  readonly next_cursor: string | null;
}
type Detail = DeliveryView & {
  readonly attempts: AttemptView[];
  readonly event: Record<string, unknown> | null;
};

/** Takes hints, or is away. */
class RecordingQueue implements HintQueue {
  readonly hints: Hint[] = [];
  isAway = false;

  add(hints: readonly Hint[]): Promise<void> {
    if (this.isAway) return Promise.reject(new Error('the queue is away'));
    this.hints.push(...hints);
    return Promise.resolve();
  }

  waiting(): Promise<number> {
    return Promise.resolve(0);
  }
}

const queue = new RecordingQueue();
/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  api = await startApi({ databaseUrl: testDatabase.databaseUrl, overrides: { hintQueue: queue } });
  await ensurePartitions(api.database, DAY_ONE_MS);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await api.close();
  await testDatabase.drop();
});

beforeEach(async () => {
  queue.hints.length = 0;
  queue.isAway = false;
  merchant = await api.merchant();
  merchantId = parseId('mrc', merchant.id) ?? '';
  endpointId = await addEndpoint(api.database, merchantId);
});

async function add(
  fixture: Partial<DeliveryFixture> = {},
): Promise<{ id: string; eventId: string; uuid: string }> {
  const { id, eventId } = await addDelivery(api.database, { merchantId, endpointId, ...fixture });
  return { id: formatId('dlv', id), eventId: formatId('evt', eventId), uuid: id };
}

async function list(target: string, key = merchant.key): Promise<Page> {
  const { status, body } = await api.call<Page>(`GET ${target}`, { key });
  expect({ target, status, body }).toMatchObject({ status: 200 });
  return body;
}

async function ids(target: string, key = merchant.key): Promise<string[]> {
  return (await list(target, key)).data.map(({ id }) => id);
}

describe('lists', () => {
  test('show a delivery as it is', async () => {
    const open = await add({ eventType: 'refund.processed' });
    const failed = await add({
      status: 'failed',
      outcome: 'http_error',
      statusCode: 500,
      attemptCount: 4,
      producerId: `order-${open.id}`,
    });
    const { data, next_cursor: nextCursor } = await list('/v1/deliveries');
    expect(nextCursor).toBeNull();
    expect(data).toEqual([
      {
        id: failed.id,
        webhook_id: formatId('wh', endpointId),
        merchant_id: merchant.id,
        event_id: `order-${open.id}`,
        event_type: 'payment.success',
        status: 'failed',
        attempt_count: 4,
        next_attempt_at: null,
        last_attempt: {
          number: 1,
          outcome: 'http_error',
          status_code: 500,
          error_code: null,
          duration_ms: 12,
        },
        error_code: null,
        created_at: '2026-03-01T00:00:01.000Z',
        completed_at: '2026-03-01T00:00:06.000Z',
      },
      expect.objectContaining({
        id: open.id,
        event_id: open.eventId,
        event_type: 'refund.processed',
        status: 'pending',
        next_attempt_at: expect.stringMatching(/Z$/),
        last_attempt: null,
        completed_at: null,
      }),
    ]);
  });

  test('have no next attempt while one is in flight', async () => {
    await add({ leaseUntil: `now() + interval '15 s'` });
    const [delivery] = (await list('/v1/deliveries')).data;
    expect(delivery).toMatchObject({ status: 'pending', next_attempt_at: null });
  });

  test('filter by whatever is named, alone and together', async () => {
    const pending = await add();
    const retrying = await add({ status: 'retrying', outcome: 'timeout' });
    const succeeded = await add({ status: 'succeeded', outcome: 'succeeded', statusCode: 200 });
    const noContent = await add({ status: 'succeeded', outcome: 'succeeded', statusCode: 204 });
    const failed = await add({
      status: 'failed',
      outcome: 'http_error',
      statusCode: 500,
      eventType: 'refund.processed',
    });
    const cancelled = await add({
      status: 'cancelled',
      createdAtMs: DAY_TWO_MS,
      producerId: `p-${pending.id}`,
    });
    const expected: [query: string, found: { id: string }[]][] = [
      ['status=pending', [pending]],
      ['status=retrying', [retrying]],
      ['status=succeeded', [noContent, succeeded]],
      ['status=failed', [failed]],
      ['status=cancelled', [cancelled]],
      ['status=held', []],
      ['outcome=succeeded', [noContent, succeeded]],
      ['outcome=timeout', [retrying]],
      ['status_code=200', [succeeded]],
      ['status_code=204', [noContent]],
      ['status_code=500', [failed]],
      ['event_type=refund.processed', [failed]],
      [`event_id=${pending.eventId}`, [pending]],
      [`event_id=p-${pending.id}`, [cancelled]],
      ['event_id=nobody-knows', []],
      ['created_after=2026-03-02T00:00:00Z', [cancelled]],
      ['created_before=2026-03-02T00:00:00.000Z', [failed, noContent, succeeded, retrying, pending]],
      [
        'created_after=2026-03-01T00:00:01.000Z&created_before=2026-03-01T00:00:01.001Z&status=failed',
        [failed],
      ],
      ['created_after=2026-03-02T00:00:00Z&created_before=2026-03-01T00:00:00Z', []],
      ['created_before=1960-01-01T00:00:00Z', []],
      ['status=retrying&outcome=timeout&event_type=payment.success', [retrying]],
      ['status=retrying&status_code=500', []],
      [`status=cancelled&event_id=p-${pending.id}&created_after=2026-03-02T00:00:00Z`, [cancelled]],
      [`status=pending&event_id=${pending.eventId}`, [pending]],
    ];
    for (const [query, found] of expected) {
      const wanted = { query, ids: found.map(({ id }) => id) };
      for (const path of [
        '/v1/deliveries',
        '/deliveries',
        `/v1/webhooks/${formatId('wh', endpointId)}/deliveries`,
      ]) {
        expect({ query, ids: await ids(`${path}?${query}`) }).toEqual(wanted);
      }
      expect({
        query,
        ids: await ids(`/v1/deliveries?merchant_id=${merchant.id}&${query}`, api.platformKey),
      }).toEqual(wanted);
    }
    await expect(ids('/v1/deliveries?status=cancelled', api.platformKey)).resolves.toContain(cancelled.id);
  });

  test('show what is open as held while its webhook is paused, and filter by that', async () => {
    const otherEndpointId = await addEndpoint(api.database, merchantId);
    const pending = await add();
    const elsewhere = await add({ endpointId: otherEndpointId });
    const retrying = await add({ status: 'retrying', outcome: 'timeout' });
    const flying = await add({ leaseUntil: `now() + interval '15 s'` });
    const tried = { isOpen: true, isSingle: true, attemptCount: 4 };
    const failed = await add({ status: 'failed', outcome: 'timeout', ...tried });
    const succeeded = await add({ status: 'succeeded', outcome: 'succeeded', statusCode: 200 });
    const webhook = formatId('wh', endpointId);
    const patch = (status: string) =>
      api.call(`PATCH /v1/webhooks/${webhook}`, { key: merchant.key, body: { status } });
    const found = async (query: string): Promise<unknown> => {
      const answers = await Promise.all([
        ids(`/v1/deliveries?${query}`),
        ids(`/v1/deliveries?webhook_id=${webhook}&${query}`),
        ids(`/v1/webhooks/${webhook}/deliveries?${query}`),
        ids(`/v1/deliveries?merchant_id=${merchant.id}&${query}`, api.platformKey),
      ]);
      const [ofMerchant, ...others] = answers;
      // Of one webhook, the other's is not there.
      for (const some of others.slice(0, 2))
        expect(some).toEqual(ofMerchant.filter((id) => id !== elsewhere.id));
      expect(others[2]).toEqual(ofMerchant);
      return ofMerchant;
    };

    await patch('paused');
    const { data } = await list('/v1/deliveries');
    expect(data.map(({ id, status, next_attempt_at: next }) => [id, status, next])).toEqual([
      [succeeded.id, 'succeeded', null],
      [failed.id, 'failed', null],
      [flying.id, 'held', null],
      [retrying.id, 'held', null],
      [elsewhere.id, 'pending', expect.stringMatching(/Z$/)],
      [pending.id, 'held', null],
    ]);
    const one = await api.call<Detail>(`GET /v1/deliveries/${retrying.id}`, { key: merchant.key });
    expect(one.body).toMatchObject({
      status: 'held',
      next_attempt_at: null,
      completed_at: null,
      last_attempt: { outcome: 'timeout' },
    });
    await expect(found('status=held')).resolves.toEqual([flying.id, retrying.id, pending.id]);
    await expect(found('status=held&outcome=timeout')).resolves.toEqual([retrying.id]);
    await expect(found('status=pending')).resolves.toEqual([elsewhere.id]);
    await expect(found('status=retrying')).resolves.toEqual([]);
    await expect(found('status=failed')).resolves.toEqual([failed.id]);
    await expect(found('outcome=timeout')).resolves.toEqual([failed.id, retrying.id]);

    await patch('enabled');
    await expect(found('status=held')).resolves.toEqual([]);
    await expect(found('status=pending')).resolves.toEqual([flying.id, elsewhere.id, pending.id]);
    await expect(found('status=retrying')).resolves.toEqual([retrying.id]);
    const [again] = (await list('/v1/deliveries?status=retrying')).data;
    expect(again).toMatchObject({ status: 'retrying', next_attempt_at: expect.stringMatching(/Z$/) });
  });

  test('go through pages of what is held without a gap or a repeat', async () => {
    const held: string[] = [];
    const otherEndpointId = await addEndpoint(api.database, merchantId);
    for (let n = 0; n < 5; n++) {
      held.unshift((await add()).id);
      await add({ endpointId: otherEndpointId });
    }
    await api.call(`PATCH /v1/webhooks/${formatId('wh', endpointId)}`, {
      key: merchant.key,
      body: { status: 'paused' },
    });
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const rest: string = cursor === null ? '' : `&cursor=${cursor}`;
      const page: Page = await list(`/v1/deliveries?limit=2&status=held${rest}`);
      seen.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(held);
  });

  test('go through pages without a gap or a repeat, while new ones come', async () => {
    const all: string[] = [];
    for (let n = 0; n < 5; n++) all.unshift((await add()).id);
    for (const filter of ['', '&status=pending']) {
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Page = await list(
          `/v1/deliveries?limit=2${filter}${cursor === null ? '' : `&cursor=${cursor}`}`,
        );
        seen.push(...page.data.map(({ id }) => id));
        cursor = page.next_cursor;
        const newer = await add({ createdAtMs: DAY_TWO_MS, status: filter === '' ? 'failed' : 'pending' });
        expect(seen).not.toContain(newer.id);
      } while (cursor !== null);
      expect(seen.filter((id) => all.includes(id))).toEqual(all);
      expect(new Set(seen).size).toBe(seen.length);
    }
  });

  test('are of one webhook where one is named, deleted ones included', async () => {
    const mine = await add();
    const otherEndpointId = await addEndpoint(api.database, merchantId);
    const other = await add({ endpointId: otherEndpointId });
    const webhook = formatId('wh', endpointId);
    await expect(ids(`/v1/deliveries?webhook_id=${webhook}`)).resolves.toEqual([mine.id]);
    await expect(ids('/v1/deliveries')).resolves.toEqual([other.id, mine.id]);

    await api.call(`DELETE /v1/webhooks/${webhook}`, { key: merchant.key });
    const [delivery] = (await list(`/v1/deliveries?webhook_id=${webhook}`)).data;
    expect(delivery).toMatchObject({ id: mine.id, status: 'cancelled' });
    await expect(ids(`/v1/deliveries?webhook_id=${webhook}`, api.platformKey)).resolves.toEqual([mine.id]);
    const nested = await api.call(`GET /v1/webhooks/${webhook}/deliveries`, { key: merchant.key });
    expect(nested.status).toBe(404);
  });

  test('never show another merchant’s', async () => {
    await add();
    const other = await api.merchant();
    const webhook = formatId('wh', endpointId);
    await expect(ids('/v1/deliveries', other.key)).resolves.toEqual([]);
    for (const target of [`/v1/deliveries?webhook_id=${webhook}`, `/v1/webhooks/${webhook}/deliveries`]) {
      await expect(api.call(`GET ${target}`, { key: other.key })).resolves.toMatchObject({ status: 404 });
    }
  });

  test('find one producer id at several merchants', async () => {
    const producerId = `shared-${merchant.id}`;
    const mine = await add({ producerId });
    const other = await api.merchant();
    merchantId = parseId('mrc', other.id) ?? '';
    endpointId = await addEndpoint(api.database, merchantId);
    const theirs = await add({ producerId });
    await expect(ids(`/v1/deliveries?event_id=${producerId}`, api.platformKey)).resolves.toEqual([
      theirs.id,
      mine.id,
    ]);
    await expect(ids(`/v1/deliveries?event_id=${producerId}`)).resolves.toEqual([mine.id]);
  });

  test.each([
    ['status', 'status=lost'],
    ['outcome', 'outcome=fine'],
    ['status_code', 'status_code=99'],
    ['event_type', 'event_type=a..b'],
    ['event_id', 'event_id=%00'],
    ['created_after', 'created_after=yesterday'],
    ['created_before', 'created_before=2026-02-30T00:00:00Z'],
    ['limit', 'limit=201'],
    ['cursor', 'cursor=abc'],
    ['color', 'color=red'],
    ['status', 'status=failed&status=cancelled'],
  ])('refuse a bad %s', async (path, query) => {
    const { status, body } = await api.call(`GET /v1/deliveries?${query}`, { key: merchant.key });
    expect(status).toBe(422);
    expect((body.data as { errors: { path: string }[] }).errors[0]?.path).toBe(path);
  });

  test.each(['nonsense', 'wh_01h455vb4pex5vsknk084sn02q'])('do not know the webhook %s', async (id) => {
    const { status } = await api.call(`GET /v1/deliveries?webhook_id=${id}`, { key: merchant.key });
    expect(status).toBe(404);
  });
});

describe('one delivery', () => {
  async function addAttempt(deliveryId: string, attempt: Record<string, unknown>): Promise<void> {
    const row = {
      outcome: 'http_error',
      statusCode: 500,
      requestHeaders: '[["content-type","application/json"],["X-Signature","***"]]',
      responseHeaders: '[["content-type","text/plain"],["set-cookie","a=1"],["Set-Cookie","b=2"]]',
      responseBody: Buffer.from('no'),
      isTruncated: false,
      ...attempt,
    };
    await api.database.$executeRaw`
      INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, status_code,
                            request_url, request_headers, response_headers, response_body, response_body_truncated,
                            remote_address)
      VALUES (${testIds.uuidAt(DAY_TWO_MS)}::uuid, ${deliveryId}::uuid, ${merchantId}::uuid, ${attempt['number']}::int,
              'initial', ${new Date(DAY_TWO_MS)}, 12, ${row.outcome}, ${row.statusCode}::int, 'https://shop.example/hook',
              ${row.requestHeaders}, ${row.responseHeaders}, ${row.responseBody}::bytea, ${row.isTruncated}::boolean,
              '127.0.0.1')`;
  }

  async function read(id: string): Promise<ApiAnswer<Detail>> {
    return api.call<Detail>(`GET /v1/deliveries/${id}`, { key: merchant.key });
  }

  test('comes with its attempts and its event', async () => {
    const { id, uuid, eventId } = await add({ status: 'failed', outcome: 'timeout' });
    await addAttempt(uuid, { number: 1 });
    await addAttempt(uuid, {
      number: 2,
      outcome: 'timeout',
      statusCode: null,
      responseHeaders: null,
      responseBody: null,
    });
    const { status, headers, body } = await read(id);
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^application\/json/);
    const request = {
      method: 'POST',
      url: 'https://shop.example/hook',
      headers: { 'content-type': 'application/json', 'X-Signature': '***' },
      body: `{"id":"${eventId}","type":"payment.success","created_at":"2026-03-01T00:00:01Z","data":{"amount":1.10}}`,
    };
    expect(body).toMatchObject({ id, status: 'failed' });
    expect(body.event).toEqual({
      id: eventId,
      type: 'payment.success',
      merchant_id: merchant.id,
      ordering_key: null,
      deliver_at: null,
      created_at: '2026-03-01T00:00:01.000Z',
      deliveries: 1,
      data: { amount: 1.1 },
    });
    expect(body.attempts).toEqual([
      {
        id: expect.stringMatching(/^att_/),
        number: 1,
        trigger: 'initial',
        started_at: '2026-03-02T00:00:00.000Z',
        duration_ms: 12,
        outcome: 'http_error',
        status_code: 500,
        error_code: null,
        error_message: null,
        request,
        response: {
          headers: { 'content-type': 'text/plain', 'set-cookie': 'a=1, b=2' },
          body: 'no',
          body_encoding: 'utf-8',
          body_truncated: false,
        },
        remote_address: '127.0.0.1',
      },
      expect.objectContaining({ number: 2, outcome: 'timeout', status_code: null, request, response: null }),
    ]);
  });

  test('has the event’s data byte for byte', async () => {
    const data =
      '{ "a":1.10, "big":123456789012345678901234567890,"a":1e400,"__proto__":"\\ud800","é":"\\u00e9" }';
    const { id, uuid } = await add({ data });
    await addAttempt(uuid, { number: 1 });
    const response = await api.app.inject({
      url: `/v1/deliveries/${id}`,
      headers: { authorization: `Bearer ${merchant.key}` },
    });
    expect(response.body).toContain(`"data":${data}}`);
    const [attempt] = response.json<Detail>().attempts;
    expect(attempt?.request.body).toContain(`"data":${data}}`);
  });

  test('has no body and no data once they were erased', async () => {
    const { id, uuid } = await add({ status: 'succeeded', data: null });
    await addAttempt(uuid, { number: 1 });
    const { body } = await read(id);
    expect(body.event).toMatchObject({ data: null });
    expect(body.attempts[0]?.request.body).toBeNull();
  });

  test.each<[string, Buffer, boolean, string, string]>([
    ['text', Buffer.from('naïve\0'), false, 'naïve\0', 'utf-8'],
    ['text that was cut within a character', Buffer.from('naï').subarray(0, 3), true, 'na', 'utf-8'],
    ['text with a byte-order mark', Buffer.from('\ufeffa'), false, '\ufeffa', 'utf-8'],
    ['something else', Buffer.from([0x1f, 0x8b, 0xff]), false, 'H4v/', 'base64'],
    ['nothing', Buffer.alloc(0), false, '', 'utf-8'],
  ])('shows a response that is %s', async (_, responseBody, isTruncated, shown, encoding) => {
    const { id, uuid } = await add({ status: 'failed' });
    await addAttempt(uuid, { number: 1, responseBody, isTruncated });
    const { body } = await read(id);
    expect(body.attempts[0]?.response).toMatchObject({
      body: shown,
      body_encoding: encoding,
      body_truncated: isTruncated,
    });
  });

  test('is not there for others, or when there is none', async () => {
    const { id } = await add();
    const other = await api.merchant();
    await expect(api.call(`GET /v1/deliveries/${id}`, { key: other.key })).resolves.toMatchObject({
      status: 404,
    });
    await expect(read('dlv_01h455vb4pex5vsknk084sn02q')).resolves.toMatchObject({ status: 404 });
    await expect(read('nonsense')).resolves.toMatchObject({ status: 404 });
  });
});

describe('retry', () => {
  function retry<Body = DeliveryView>(
    id: string,
    headers: Record<string, string> = {},
  ): Promise<ApiAnswer<Body>> {
    return api.call<Body>(`POST /v1/deliveries/${id}/retry`, { key: merchant.key, headers });
  }

  test('of an open delivery brings its attempt forward and hints it', async () => {
    const { id, uuid } = await add({ status: 'retrying', outcome: 'timeout' });
    const { status, body } = await retry(id);
    expect({ status, body }).toMatchObject({ status: 202, body: { id, status: 'retrying' } });
    expect(Date.parse(body.next_attempt_at ?? '')).toBeLessThan(Date.now() + 60_000);
    expect(queue.hints).toEqual([{ lane: 'fast', deliveryIds: [uuid], hintNumber: 2, delayMs: 0 }]);
  });

  test('of a final one makes one attempt due, once', async () => {
    const { id, uuid } = await add({ status: 'failed' });
    await expect(retry(id)).resolves.toMatchObject({ status: 202, body: { status: 'failed' } });
    await expect(openRow(api.database, uuid)).resolves.toMatchObject({ single: true, trigger: 'manual' });
    await expect(retry(id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect(queue.hints).toHaveLength(1);
  });

  test('with an Idempotency-Key retries once and answers twice', async () => {
    const { id } = await add({ status: 'failed' });
    const headers = { 'idempotency-key': id };
    const first = await retry(id, headers);
    await expect(retry(id, headers)).resolves.toMatchObject({ status: 202, body: first.body });
    expect(queue.hints).toHaveLength(1);
  });

  test('gives the delivery to the sweep when the queue is away', async () => {
    queue.isAway = true;
    const { id, uuid } = await add({ status: 'failed' });
    await expect(retry(id)).resolves.toMatchObject({ status: 202 });
    await eventually(async () => {
      await expect(openRow(api.database, uuid)).resolves.toMatchObject({ due: true, hinted: false });
    });
  });

  test('is refused in flight, at a closed endpoint, and without data', async () => {
    const flying = await add({ leaseUntil: `now() + interval '15 s'` });
    await expect(retry(flying.id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    const erased = await add({ status: 'failed', data: null });
    await expect(retry(erased.id)).resolves.toMatchObject({
      status: 409,
      body: { code: 'payload_redacted' },
    });
    const final = await add({ status: 'failed' });
    await api.call(`PATCH /v1/webhooks/${formatId('wh', endpointId)}`, {
      key: merchant.key,
      body: { status: 'disabled' },
    });
    await expect(retry(final.id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    await api.call(`DELETE /v1/webhooks/${formatId('wh', endpointId)}`, { key: merchant.key });
    await expect(retry(final.id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect(queue.hints).toEqual([]);
  });

  test('is refused while its webhook is paused, of an open delivery and of a final one', async () => {
    const held = await add();
    const final = await add({ status: 'failed' });
    const pause = (status: string) =>
      api.call(`PATCH /v1/webhooks/${formatId('wh', endpointId)}`, { key: merchant.key, body: { status } });
    await pause('paused');
    for (const { id } of [held, final]) {
      await expect(retry(id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    }
    expect(queue.hints).toEqual([]);
    await pause('enabled');
    for (const { id } of [held, final]) await expect(retry(id)).resolves.toMatchObject({ status: 202 });
  });

  test('takes no fields', async () => {
    const { id } = await add();
    const answer = await api.call(`POST /v1/deliveries/${id}/retry`, {
      key: merchant.key,
      body: { force: true },
    });
    expect(answer.status).toBe(422);
  });
});

describe('cancel', () => {
  function cancel(id: string): Promise<ApiAnswer<DeliveryView>> {
    return api.call<DeliveryView>(`POST /v1/deliveries/${id}/cancel`, { key: merchant.key });
  }

  test('ends an open delivery', async () => {
    const { id } = await add();
    await expect(cancel(id)).resolves.toMatchObject({
      status: 202,
      body: { id, status: 'cancelled', next_attempt_at: null, completed_at: expect.stringMatching(/Z$/) },
    });
    await expect(cancel(id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
  });

  test('ends one that is held', async () => {
    const { id } = await add({ status: 'retrying' });
    await api.database.endpointGate.update({ where: { endpointId }, data: { status: 'paused' } });
    await expect(cancel(id)).resolves.toMatchObject({ status: 202, body: { id, status: 'cancelled' } });
    await expect(ids('/v1/deliveries?status=held')).resolves.toEqual([]);
  });

  test('is refused in flight', async () => {
    const { id, uuid } = await add({ leaseUntil: `now() + interval '15 s'` });
    await expect(cancel(id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    await expect(statusOf(api.database, uuid)).resolves.toBe('pending');
  });

  test('of a retry that has not begun keeps the status', async () => {
    const { id } = await add({ status: 'succeeded', isOpen: true, isSingle: true });
    await expect(cancel(id)).resolves.toMatchObject({ status: 202, body: { status: 'succeeded' } });
  });
});

test('an event that was posted is in the log of the webhook that was registered for it', async () => {
  const webhook = await api.call<{ id: string }>('POST /v1/webhooks', {
    key: merchant.key,
    body: { url: 'http://127.0.0.1:9/', events: ['order.*'] },
  });
  const event = await api.call<{ id: string }>('POST /v1/events', {
    body: { merchant_id: merchant.id, type: 'order.paid', data: {}, id: `order-${webhook.body.id}` },
  });
  expect(event.status).toBe(202);
  const { data } = await list(`/v1/webhooks/${webhook.body.id}/deliveries?event_id=${event.body.id}`);
  expect(data).toEqual([
    expect.objectContaining({ event_id: event.body.id, event_type: 'order.paid', status: 'pending' }),
  ]);
});
