import { expect } from '@jest/globals';
import type { ApiClient } from '#testkit/api-client.js';
import type { Things } from './documented-operations.js';

/** A merchant with two of everything, so that its lists have a second page. */
export interface Tenant {
  readonly things: Things;
  /** With every scope that a merchant's key may have. */
  readonly key: string;
  /** Texts that only this merchant may ever be shown. */
  readonly marks: readonly string[];
}

interface Made {
  readonly id: string;
  readonly key: string;
}

const SHARED_EVENT_TYPE = 'shared.by.all';

/** @param name stands in everything that the merchant can be recognised by */
export async function makeTenant(client: ApiClient, name: string, url: string): Promise<Tenant> {
  const merchant = await client.newMerchant({ name, external_id: name, metadata: { name } });
  const [key, spareKey] = await Promise.all([1, 2].map(() => newKey(client, merchant)));
  const webhooks = await Promise.all(
    [1, 2].map(() =>
      client.newWebhook(merchant, `${url}/${name}`, { description: name, headers: { 'X-Own': name } }),
    ),
  );
  const events = await Promise.all([1, 2].map(() => client.sendEvent(merchant, { data: { name } })));
  const platformKey = await client.post('/v1/api-keys', { name: `spare of ${name}`, scopes: ['admin'] });
  const deliveries = await client.get<{ data: { id: string }[] }>(`/v1/deliveries?merchant_id=${merchant}`);
  expect(deliveries.body.data).toHaveLength(4);
  const ids = deliveries.body.data.map(({ id }) => id);
  // Of statuses that do not overlap, so that both can be there at once.
  const recoveries = await Promise.all(
    ['failed', 'cancelled'].map((status) =>
      client.post<Made & Record<string, unknown>>(`/v1/webhooks/${webhooks[0]?.id}/recoveries`, {
        since: new Date(Date.now() - 60_000).toISOString(),
        statuses: [status],
      }),
    ),
  );
  expect(recoveries.map(({ status }) => status)).toEqual([202, 202]);
  await client.call('PUT', `/v1/event-types/${SHARED_EVENT_TYPE}`, { bytes: '{}' });
  return {
    key: (key as Made).key,
    things: {
      merchant,
      merchantKey: (spareKey as Made).id,
      platformKey: String(platformKey.body['id']),
      webhook: String(webhooks[0]?.id),
      delivery: String(ids[0]),
      event: String(events[0]?.id),
      recovery: String(recoveries[0]?.body.id),
      eventType: SHARED_EVENT_TYPE,
    },
    marks: [
      name,
      merchant,
      ...[key, spareKey].map((made) => (made as Made).id),
      ...[...webhooks, ...events].map(({ id }) => id),
      ...webhooks.map(({ secret }) => secret),
      ...ids,
      ...recoveries.map(({ body }) => body.id),
    ],
  };
}

export async function newKey(
  client: ApiClient,
  merchant: string | null,
  scopes?: readonly string[],
): Promise<Made> {
  const path = merchant === null ? '/v1/api-keys' : `/v1/merchants/${merchant}/api-keys`;
  const { body } = await client.post<Made & Record<string, unknown>>(path, { name: 'a key', scopes });
  return body;
}
