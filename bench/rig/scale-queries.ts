import { DAY_MS } from '#adapters/postgres/id-range.js';
import { COMMON_TYPE, FAT_MERCHANT, RARE_TYPE, THIN_MERCHANT } from './scale-model.js';
import { FILTER_NAMES, type FilterName, MANY_ATTEMPTS, momentBefore, type Samples } from './scale-samples.js';
import type { Tenant } from './scale-tenants.js';

/** Whose: a webhook's, a merchant's, everybody's. */
export const SCOPES = ['webhook', 'merchant', 'platform'] as const;
export type Scope = (typeof SCOPES)[number];

/** A call that is made many times, for something else each time. */
export interface LogQuery {
  readonly name: string;
  /** Null where there is no choice of it. */
  readonly scope: Scope | null;
  /** Of the answer. */
  readonly status: number;
  readonly path: () => string;
  /** Told each answer, where the next call follows from it. */
  readonly learn?: (answer: { readonly next_cursor?: string | null }) => void;
}

/** Common ones first, then rare ones; of the last, where `status` has six, there is none. */
const VALUES: Readonly<Record<FilterName, readonly string[]>> = {
  status: ['succeeded', 'failed', 'cancelled', 'pending', 'retrying', 'held'],
  outcome: ['succeeded', 'http_error', 'timeout', 'tls_error', 'blocked'],
  status_code: ['200', '204', '500', '418', '599'],
  event_type: [COMMON_TYPE, 'dispute.opened', RARE_TYPE, 'never.sent'],
};

/** Two or more. */
const COMBINATIONS: readonly (readonly FilterName[])[] = Array.from(
  { length: 2 ** FILTER_NAMES.length },
  (_, bits) => FILTER_NAMES.filter((_name, index) => (bits & (2 ** index)) !== 0),
).filter(({ length }) => length >= 2);

interface Owner {
  readonly merchantId: string;
  readonly webhookId: string;
}
type Filters = Readonly<Record<string, string>>;

/** Every way in which the API reads the log. */
export function logQueries(tenants: readonly Tenant[], samples: Samples, nowMs: number): LogQuery[] {
  const anyOwner = (): Owner => ownerOf(anyTenant(tenants));
  return [
    ...SCOPES.flatMap((scope) => deliveryLists(scope, anyOwner, samples, nowMs)),
    ...eventLists(anyOwner),
    ...lookUps(anyOwner, samples),
  ];
}

function deliveryLists(scope: Scope, anyOwner: () => Owner, samples: Samples, nowMs: number): LogQuery[] {
  const list = (name: string, path: () => string): LogQuery => ({ name, scope, status: 200, path });
  const of = (name: string, filters: () => Filters): LogQuery =>
    list(name, () => listPath(scope, anyOwner(), filters()));
  return [
    of('the newest', () => ({})),
    of('the newest 200', () => ({ limit: '200' })),
    pages(list('page after page of 200', () => listPath(scope, anyOwner(), { limit: '200' }))),
    of('created in the last hour', () => ({ created_after: isoOf(nowMs - 3_600_000) })),
    of('created before any moment', () => ({ created_before: isoOf(momentBefore(nowMs)) })),
    of('created within any day', () => anyDay(nowMs)),
    ...FILTER_NAMES.flatMap((name) =>
      VALUES[name].map((value) => of(`${name}=${value}`, () => ({ [name]: value }))),
    ),
    ...(['eventId', 'producerId'] as const).map((id) =>
      list(id === 'eventId' ? 'event_id, as it was made' : "event_id, the producer's", () => {
        const sample = oneOf(samples.any);
        return listPath(scope, sample, { event_id: sample[id] ?? 'txn_none' });
      }),
    ),
    of('event_id that is not there', () => ({ event_id: 'txn_none' })),
    ...COMBINATIONS.map((names) =>
      list(`${names.join(', ')} of a delivery`, () => {
        const sample = oneOf(oneOf([samples.any, samples.failing, samples.open]));
        const filters = names.flatMap((name) => {
          const value = sample.values[name];
          return value === null ? [] : [[name, value] as const];
        });
        return listPath(scope, sample, Object.fromEntries(filters));
      }),
    ),
    of('any that no delivery may have together', () => ({
      ...Object.fromEntries(oneOf(COMBINATIONS).map((name) => [name, oneOf(VALUES[name])])),
      ...(Math.random() < 0.5 && anyDay(nowMs)),
    })),
  ];
}

function eventLists(anyOwner: () => Owner): LogQuery[] {
  return (['merchant', 'platform'] as const).flatMap((scope): LogQuery[] => {
    const list = (name: string, limit: number): LogQuery => ({
      name,
      scope,
      status: 200,
      path: () => pathOf('/v1/events', { limit: String(limit), ...merchantOf(scope, anyOwner()) }),
    });
    return [
      list('events, the newest', 50),
      list('events, the newest 200', 200),
      pages(list('events, page after page of 200', 200)),
    ];
  });
}

function lookUps(anyOwner: () => Owner, { any, withManyAttempts }: Samples): LogQuery[] {
  const of = (name: string, path: () => string, status = 200): LogQuery => ({
    name,
    scope: null,
    status,
    path,
  });
  const named = any.flatMap(({ producerId, merchantId }) =>
    producerId === null ? [] : [{ producerId, merchantId }],
  );
  return [
    of('a delivery with its attempts', () => `/v1/deliveries/${oneOf(any).deliveryId}`),
    of(
      `a delivery with ${MANY_ATTEMPTS} attempts`,
      () => `/v1/deliveries/${oneOf(withManyAttempts).deliveryId}`,
    ),
    of('an event', () => `/v1/events/${oneOf(any).eventId}`),
    of("an event by its producer's id", () => {
      const { producerId, merchantId } = oneOf(named);
      return pathOf(`/v1/events/${producerId}`, { merchant_id: merchantId });
    }),
    of("an event by its producer's id, whosever", () => `/v1/events/${oneOf(named).producerId}`),
    of('an event that is not there', () => '/v1/events/txn_none', 404),
    ...['1h', '24h', '7d', '30d'].map((window) =>
      of(`statistics of ${window}`, () => pathOf(`/v1/webhooks/${anyOwner().webhookId}/stats`, { window })),
    ),
  ];
}

/** From the newest on, each call for the page after the one before; after the last page, the newest of another owner. */
function pages(list: LogQuery): LogQuery {
  let start: string | null = null;
  let cursor: string | null = null;
  return {
    ...list,
    path: () => {
      start ??= list.path();
      return cursor === null ? start : `${start}&cursor=${cursor}`;
    },
    learn: ({ next_cursor: next = null }) => {
      cursor = next;
      if (next === null) start = null;
    },
  };
}

function listPath(scope: Scope, owner: Owner, filters: Filters): string {
  const list = scope === 'webhook' ? `/v1/webhooks/${owner.webhookId}/deliveries` : '/v1/deliveries';
  return pathOf(list, { ...filters, ...merchantOf(scope, owner) });
}

function merchantOf(scope: Scope, { merchantId }: Owner): Filters {
  return scope === 'merchant' ? { merchant_id: merchantId } : {};
}

function pathOf(path: string, query: Filters): string {
  return `${path}?${new URLSearchParams(query).toString()}`;
}

/** The fat one every other time, the thin one every tenth. */
function anyTenant(tenants: readonly Tenant[]): Tenant {
  const random = Math.random();
  if (random < 0.5) return tenants[FAT_MERCHANT] as Tenant;
  return random < 0.6 ? (tenants[THIN_MERCHANT] as Tenant) : oneOf(tenants);
}

function ownerOf({ merchantId, endpointIds }: Tenant): Owner {
  return { merchantId, webhookId: oneOf(endpointIds) };
}

function anyDay(nowMs: number): Filters {
  const fromMs = momentBefore(nowMs);
  return { created_after: isoOf(fromMs), created_before: isoOf(fromMs + DAY_MS) };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function oneOf<Value>(values: readonly Value[]): Value {
  return values[Math.floor(Math.random() * values.length)] as Value;
}
