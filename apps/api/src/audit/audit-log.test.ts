import { Reflector } from '@nestjs/core';
import type { CallHandler, ExecutionContext } from '@nestjs/common';
import type { OpenAPIObject } from '@nestjs/swagger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { lastValueFrom, of } from 'rxjs';
import { PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { AUDIT_ACTION_NAMES, type AuditAction } from '#domain/audit-actions.js';
import { formatId, ID_PREFIXES, IdMaker } from '#domain/ids.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { operationsOf } from '../openapi/document.js';
import { AUDIT_EXTENSION } from '../openapi/operation.js';
import type { AuditEntryView } from './audit-log.schema.js';
import { AUDITED, AuditInterceptor } from './audit-trail.js';

let db: TestDatabase;
let api: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

async function entries(query = ''): Promise<AuditEntryView[]> {
  const { status, body } = await api.call<{ data: AuditEntryView[] }>(`GET /v1/audit-log?limit=200${query}`);
  expect(status).toBe(200);
  return body.data;
}

interface AuditPage {
  readonly data: readonly AuditEntryView[];
  readonly next_cursor: string | null;
}

async function pageAt(cursor: string): Promise<AuditPage> {
  const query = cursor === '' ? '' : `&cursor=${cursor}`;
  return (await api.call<AuditPage>(`GET /v1/audit-log?limit=3${query}`)).body;
}

/** What a call leaves: newest first. */
async function recordedBy(call: () => Promise<unknown>): Promise<AuditEntryView[]> {
  const before = new Set((await entries()).map(({ id }) => id));
  await call();
  return (await entries()).filter(({ id }) => !before.has(id));
}

const hook = (merchantId: string, fields: object = {}): object => ({
  merchant_id: merchantId,
  url: 'http://127.0.0.1:9/hook',
  events: ['*'],
  ...fields,
});

/** A delivery of a new event, which nothing sends: there is no worker. */
async function newDelivery(merchantId: string): Promise<{ id: string; merchantId: string }> {
  await api.call('POST /v1/webhooks', { body: hook(merchantId) });
  await api.call('POST /v1/events', { body: { merchant_id: merchantId, type: 'a.b', data: {} } });
  const { body } = await api.call<{ data: { id: string }[] }>(`GET /v1/deliveries?merchant_id=${merchantId}`);
  return { id: body.data[0]?.id ?? '', merchantId };
}

describe('every operation', () => {
  /** The events are a log of their own, and the busiest calls there are. */
  const UNAUDITED = ['POST /v1/events', 'POST /v1/events/batch'];

  async function documented(): Promise<{ name: string; action: unknown; showsSecret: boolean }[]> {
    const { body: document } = await api.call<OpenAPIObject>('GET /openapi.json', { key: null });
    return Object.entries(document.paths).flatMap(([path, item]) =>
      operationsOf(item).map(([method, operation]) => ({
        name: `${method.toUpperCase()} ${path}`,
        action: (operation as unknown as Record<string, unknown>)[AUDIT_EXTENSION],
        showsSecret: /\/secrets?(\/|$)/.test(path) || JSON.stringify(operation.responses).includes('Secret"'),
      })),
    );
  }

  test('that changes something or shows a secret says what it is recorded as', async () => {
    const silent = (await documented())
      .filter(
        ({ name, action, showsSecret }) => (!name.startsWith('GET ') || showsSecret) && action === undefined,
      )
      .map(({ name }) => name);
    expect(silent.sort()).toEqual(UNAUDITED);
  });

  test('that is recorded is recorded as something that is known', async () => {
    const actions = (await documented()).flatMap(({ action }) => (action === undefined ? [] : [action]));
    expect(actions.filter((action) => !AUDIT_ACTION_NAMES.includes(action as AuditAction))).toEqual([]);
  });
});

describe('what is recorded', () => {
  let merchantId: string;
  let merchantKey: string;

  beforeAll(async () => {
    ({ id: merchantId, key: merchantKey } = await api.merchant());
  });

  test('by the platform key of the environment, with address and request', async () => {
    const answers: { headers: Readonly<Record<string, unknown>>; body: { id: string } }[] = [];
    const [entry, ...rest] = await recordedBy(async () => {
      answers.push(
        await api.call<{ id: string }>('POST /v1/merchants', { body: { name: 'Ama', external_id: 'ama-1' } }),
      );
    });
    const [answer] = answers;
    expect(rest).toEqual([]);
    expect(entry).toMatchObject({
      action: 'merchant.created',
      actor: 'environment',
      key_id: expect.stringMatching(/^key_/),
      address: '127.0.0.1',
      merchant_id: answer?.body.id,
      target: answer?.body.id,
      before: null,
      after: { name: 'Ama', external_id: 'ama-1' },
      request_id: answer?.headers['x-request-id'],
      sequence: null,
      erased: false,
    });
  });

  test('by a merchant’s own key; of a change the members that differ', async () => {
    const made = await api.call<{ id: string }>('POST /v1/webhooks', {
      key: merchantKey,
      body: hook(merchantId),
    });
    const [entry] = await recordedBy(() =>
      api.call(`PATCH /v1/webhooks/${made.body.id}`, {
        key: merchantKey,
        body: { url: 'http://127.0.0.1:9/new' },
      }),
    );
    expect(entry).toMatchObject({
      action: 'webhook.updated',
      actor: entry?.key_id,
      merchant_id: merchantId,
      target: made.body.id,
    });
    expect([entry?.before, entry?.after]).toEqual([
      { url: 'http://127.0.0.1:9/hook' },
      { url: 'http://127.0.0.1:9/new' },
    ]);
  });

  test.each<[AuditAction, () => Promise<[call: () => Promise<{ status: number }>, target: RegExp]>, object]>([
    [
      'merchant.updated',
      () =>
        Promise.resolve([
          () => api.call(`PATCH /v1/merchants/${merchantId}`, { body: { name: 'New' } }),
          /^mrc_/,
        ]),
      { before: { name: 'Test' }, after: { name: 'New' } },
    ],
    [
      'merchant.erased',
      async () => {
        const { id } = await api.merchant();
        return [() => api.call(`DELETE /v1/merchants/${id}`), /^mrc_/];
      },
      { before: { status: 'active' }, after: { status: 'erasing' } },
    ],
    [
      'api_key.created',
      () =>
        Promise.resolve([
          () => api.call(`POST /v1/merchants/${merchantId}/api-keys`, { body: { name: 'till' } }),
          /^key_/,
        ]),
      { before: null, after: { name: 'till', merchant_id: expect.stringMatching(/^mrc_/) } },
    ],
    [
      'api_key.revoked',
      async () => {
        const path = `/v1/merchants/${merchantId}/api-keys`;
        const made = await api.call<{ id: string }>(`POST ${path}`, { body: { name: 'gone' } });
        return [() => api.call(`DELETE ${path}/${made.body.id}`), /^key_/];
      },
      { before: { name: 'gone' }, after: null },
    ],
    [
      'api_key.created',
      () => Promise.resolve([() => api.call('POST /v1/api-keys', { body: { name: 'backend' } }), /^key_/]),
      { merchant_id: null, before: null, after: { name: 'backend' } },
    ],
    [
      'api_key.revoked',
      async () => {
        const made = await api.call<{ id: string }>('POST /v1/api-keys', { body: { name: 'old' } });
        return [() => api.call(`DELETE /v1/api-keys/${made.body.id}`), /^key_/];
      },
      { merchant_id: null, before: { name: 'old' }, after: null },
    ],
    [
      'webhook.created',
      () => Promise.resolve([() => api.call('POST /v1/webhooks', { body: hook(merchantId) }), /^wh_/]),
      { before: null, after: { url: 'http://127.0.0.1:9/hook', status: 'enabled' } },
    ],
    [
      'webhook.updated',
      async () => {
        const made = await api.call<{ id: string }>('POST /v1/webhooks', {
          body: hook(merchantId, { headers: { 'X-Shop': 'one' } }),
        });
        const body = { headers: { 'X-Shop': 'two' } };
        return [() => api.call(`PATCH /v1/webhooks/${made.body.id}`, { body }), /^wh_/];
      },
      { before: { headers: { 'X-Shop': '***' } }, after: { headers: { 'X-Shop': '***' } } },
    ],
    [
      'webhook.deleted',
      async () => {
        const made = await api.call<{ id: string }>('POST /v1/webhooks', { body: hook(merchantId) });
        return [() => api.call(`DELETE /v1/webhooks/${made.body.id}`), /^wh_/];
      },
      { before: { url: 'http://127.0.0.1:9/hook' }, after: null },
    ],
    [
      'delivery.retried',
      async () => {
        const { id } = await newDelivery(merchantId);
        return [() => api.call(`POST /v1/deliveries/${id}/retry`), /^dlv_/];
      },
      {},
    ],
    [
      'delivery.cancelled',
      async () => {
        const { id } = await newDelivery(merchantId);
        return [() => api.call(`POST /v1/deliveries/${id}/cancel`), /^dlv_/];
      },
      { before: { status: 'pending' }, after: { status: 'cancelled' } },
    ],
  ])('%s', async (action, prepare, details) => {
    const [call, target] = await prepare();
    const recorded = await recordedBy(async () => expect((await call()).status).toBeLessThan(300));
    expect(recorded).toHaveLength(1);
    expect(recorded[0]).toMatchObject({ action, target: expect.stringMatching(target), ...details });
  });

  test('the environment’s own key, when a boot replaces it', async () => {
    const own = await createTestDatabase();
    const first = await startApi({ databaseUrl: own.databaseUrl });
    await first.close();
    const same = await startApi({ databaseUrl: own.databaseUrl, platformKey: first.platformKey });
    await same.close();
    const second = await startApi({ databaseUrl: own.databaseUrl });
    const { body } = await second.call<{ data: AuditEntryView[] }>('GET /v1/audit-log');
    await second.close();
    await own.drop();
    const told = body.data.map(({ actor, action, after }) => [actor, action, after]);
    const installed = (key: string) => ['system', 'environment_key.installed', { prefix: key.slice(0, 10) }];
    expect(told).toEqual([installed(second.platformKey), installed(first.platformKey)]);
  });

  test('never a secret: neither the answer’s, nor one that was given', async () => {
    const planted = ['whsec_cGxhbnRlZC1pbi10aGUtYXVkaXQ=', 'planted-header-value-9137'];
    const [secret = '', header = ''] = planted;
    const made = await api.call<{ id: string }>('POST /v1/webhooks', {
      body: hook(merchantId, { secret, headers: { 'X-Planted': header } }),
    });
    expect(made.status).toBe(201);
    await api.call(`PATCH /v1/webhooks/${made.body.id}`, {
      body: { headers: { 'X-Planted': `${header}2` } },
    });
    const key = await api.call<{ key: string }>('POST /v1/api-keys', { body: { name: 'planted' } });
    const text = JSON.stringify(await entries());
    expect(text).toContain(made.body.id);
    for (const value of [...planted, key.body.key, merchantKey, api.platformKey])
      expect(text).not.toContain(value);
  });
});

describe('nothing is recorded', () => {
  test.each<[string, () => Promise<[call: () => Promise<{ status: number }>, status: number]>]>([
    [
      'of a call that is refused',
      () => Promise.resolve([() => api.call('POST /v1/merchants', { body: {} }), 422]),
    ],
    [
      'of a change that fails in its transaction',
      async () => {
        const body = { name: 'x', external_id: 'taken-once' };
        await api.call('POST /v1/merchants', { body });
        return [() => api.call('POST /v1/merchants', { body }), 409];
      },
    ],
    [
      'of a webhook that stays as it is',
      async () => {
        const { id } = await api.merchant();
        const made = await api.call<{ id: string }>('POST /v1/webhooks', { body: hook(id) });
        return [() => api.call(`PATCH /v1/webhooks/${made.body.id}`, { body: {} }), 200];
      },
    ],
    [
      'of an answer that is given again',
      async () => {
        const call = { body: { name: 'again' }, headers: { 'Idempotency-Key': 'audited-once' } };
        await api.call('POST /v1/merchants', call);
        return [() => api.call('POST /v1/merchants', call), 201];
      },
    ],
    [
      'of an event',
      async () => {
        const { id } = await api.merchant();
        const body = { merchant_id: id, type: 'a.b', data: {} };
        return [() => api.call('POST /v1/events', { body }), 202];
      },
    ],
  ])('%s', async (_, prepare) => {
    const [call, status] = await prepare();
    expect(await recordedBy(async () => expect((await call()).status).toBe(status))).toEqual([]);
  });

  test('of a change whose entry cannot be written: the change is not made either', async () => {
    const { id } = await api.merchant();
    await api.database.$executeRaw`ALTER TABLE audit_log ADD CONSTRAINT refuse_all CHECK (false) NOT VALID`;
    try {
      expect((await api.call(`PATCH /v1/merchants/${id}`, { body: { name: 'unrecorded' } })).status).toBe(
        500,
      );
      expect((await api.call('POST /v1/webhooks', { body: hook(id) })).status).toBe(500);
      expect((await api.call(`DELETE /v1/merchants/${id}`)).status).toBe(500);
    } finally {
      await api.database.$executeRaw`ALTER TABLE audit_log DROP CONSTRAINT refuse_all`;
    }
    expect((await api.call(`GET /v1/merchants/${id}`)).body).toMatchObject({
      name: 'Test',
      status: 'active',
    });
    expect((await api.call(`GET /v1/webhooks?merchant_id=${id}`)).body).toMatchObject({ data: [] });
  });
});

describe('GET /v1/audit-log', () => {
  test('newest first, in pages that neither repeat nor leave out', async () => {
    const all = await entries();
    const paged: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: AuditPage = await pageAt(cursor);
      paged.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    expect(paged.slice(0, all.length)).toEqual(all.map(({ id }) => id));
    expect(paged).toEqual([...new Set(paged)].sort().reverse());
  });

  test('filters combine', async () => {
    const { id, key } = await api.merchant();
    await api.call('POST /v1/webhooks', { key, body: hook(id) });
    const ofMerchant = await entries(`&merchant_id=${id}`);
    expect(ofMerchant.map(({ action }) => action)).toEqual([
      'webhook.created',
      'api_key.created',
      'merchant.created',
    ]);
    const [webhook, apiKey, merchant] = ofMerchant as [AuditEntryView, AuditEntryView, AuditEntryView];
    const idsOf = async (query: string) =>
      (await entries(`&merchant_id=${id}${query}`)).map((entry) => entry.id);
    expect(await idsOf(`&actor=${webhook.actor}`)).toEqual([webhook.id]);
    expect(await idsOf(`&key_id=${webhook.key_id}`)).toEqual([webhook.id]);
    expect(await idsOf('&actor=environment')).toEqual([apiKey.id, merchant.id]);
    expect(await idsOf('&action=api_key.created')).toEqual([apiKey.id]);
    expect(await idsOf('&actor=environment&action=webhook.created')).toEqual([]);
    const at = apiKey.created_at;
    expect(await idsOf(`&created_after=${at}`)).toEqual(
      ofMerchant.filter(({ created_at }) => created_at >= at).map((entry) => entry.id),
    );
    expect(await idsOf(`&created_before=${at}`)).toEqual(
      ofMerchant.filter(({ created_at }) => created_at < at).map((entry) => entry.id),
    );
  });

  test.each([
    ['action=webhook.eaten', 422],
    ['created_after=yesterday', 422],
    ['unknown=1', 422],
    ['merchant_id=mrc_x', 404],
    ['key_id=mrc_01h455vb4pex5vsknk084sn02q', 404],
    ['cursor=x', 422],
  ])('%s is refused', async (query, status) => {
    expect((await api.call(`GET /v1/audit-log?${query}`)).status).toBe(status);
  });

  test('is the operator’s alone', async () => {
    const { key } = await api.merchant();
    expect((await api.call('GET /v1/audit-log', { key })).status).toBe(403);
    expect((await api.call('GET /v1/audit-log', { key: null })).status).toBe(401);
  });
});

describe('an operation that declares what it is recorded as', () => {
  const handler = (): void => undefined;
  Reflect.defineMetadata(AUDITED, 'merchant.updated', handler);
  const ids = new IdMaker(Date.now, (n) => new Uint8Array(n));
  const context = {
    getHandler: () => handler,
    switchToHttp: () => ({ getRequest: () => ({ id: formatId(ID_PREFIXES.request, ids.uuid()) }) }),
  } as unknown as ExecutionContext;
  const answered = (answer: unknown): Promise<unknown> => {
    const next: CallHandler = { handle: () => of(answer) };
    return lastValueFrom(new AuditInterceptor(new Reflector(), ids).intercept(context, next));
  };

  test('does not succeed without an entry', async () => {
    await expect(answered({})).rejects.toThrow('merchant.updated was done and not recorded');
    await expect(answered(new PostAnswer(201, {}))).rejects.toThrow('not recorded');
  });

  test('needs none for an answer that is given again', async () => {
    const replay = new PostAnswer(201, {}, true);
    expect(await answered(replay)).toBe(replay);
  });
});
