import { type CallName, refused, type Row } from './bad-input-rows.js';

/** Fields that nobody may set, and values that no field takes. */

const M = 'POST /v1/merchants';
const MP = 'PATCH /v1/merchants/{merchant}';
const K = 'POST /v1/merchants/{merchant}/api-keys';
const PK = 'POST /v1/api-keys';
const W = 'POST /v1/webhooks';
const WP = 'PATCH /v1/webhooks/{webhook}';
const E = 'POST /v1/events';
const RETRY = 'POST /v1/deliveries/{delivery}/retry';
const CANCEL = 'POST /v1/deliveries/{delivery}/cancel';

/** What answers and tables have and no request may: by the names on the wire, of columns and of properties. */
const READ_ONLY: Readonly<Partial<Record<CallName, readonly string[]>>> = {
  [M]: ['id', 'status', 'created_at', 'updated_at', 'config_version', 'configVersion', 'externalId', 'role'],
  [MP]: ['created_at', 'updated_at', 'config_version', 'configVersion', 'externalId', 'erased', 'api_keys'],
  [K]: ['id', 'key', 'key_hash', 'keyHash', 'prefix', 'source', 'merchant_id', 'merchantId', 'revoked_at'],
  [PK]: ['id', 'key', 'key_hash', 'keyHash', 'prefix', 'source', 'merchant_id', 'last_used_at', 'created_at'],
  [W]: [
    'id',
    'status',
    'disabled_reason',
    'health',
    'created_at',
    'updated_at',
    'deleted_at',
    'version',
    'merchantId',
    'headersSealed',
    'secrets',
    'gate',
  ],
  [WP]: [
    'id',
    'disabled_reason',
    'health',
    'created_at',
    'updated_at',
    'deleted_at',
    'deletedAt',
    'version',
    'merchantId',
    'headersSealed',
    'secrets',
    'gate',
  ],
  [E]: [
    'deliveries',
    'delivery_count',
    'producer_id',
    'producerId',
    'merchantId',
    'endpoint_id',
    'webhook_id',
  ],
  [RETRY]: ['status', 'merchant_id', 'webhook_id', 'trigger', 'due_at'],
  [CANCEL]: ['status', 'merchant_id', 'error_code', 'completed_at'],
};

const massAssignment: readonly Row[] = Object.entries(READ_ONLY).flatMap(([call, names]) =>
  names.map((name) =>
    refused(call as CallName, { [name]: name.endsWith('_at') ? '2020-01-01T00:00:00Z' : 'x' }, [name]),
  ),
);

type Kind = 'text' | 'number' | 'list' | 'object' | 'choice';
/** None of these is of the kind. */
const WRONG: Readonly<Record<Kind, readonly unknown[]>> = {
  text: [true, [], ['x'], { toString: 'x' }],
  number: [true, [], [5], {}, '5', 'NaN', 1e12, -1e12, 0.5, -5],
  list: [true, 7, 'x', { length: 1, 0: 'x' }],
  object: [true, 7, ['x'], [['x', 'y']]],
  choice: [true, 7, [], {}, 'constructor', '__proto__', 'toString', ''],
};

const FIELDS: Readonly<Partial<Record<CallName, Readonly<Record<string, Kind>>>>> = {
  [M]: { external_id: 'text', metadata: 'object', dialect: 'choice' },
  [MP]: { name: 'text', external_id: 'text', metadata: 'object', dialect: 'choice' },
  [K]: { name: 'text', scopes: 'list', expires_at: 'text' },
  [PK]: { name: 'text', scopes: 'list' },
  [W]: {
    url: 'text',
    events: 'list',
    secret: 'text',
    description: 'text',
    dialect: 'choice',
    payload_format: 'choice',
    signatures: 'list',
    retry_schedule_seconds: 'list',
    retry_preset: 'choice',
    timeout_ms: 'number',
    rate_limit_per_second: 'number',
    max_in_flight: 'number',
    headers: 'object',
    metadata: 'object',
  },
  [WP]: { url: 'text', description: 'text', status: 'choice', timeout_ms: 'number', headers: 'object' },
  [E]: { type: 'text', id: 'text', created_at: 'text', ordering_key: 'text', deliver_at: 'text' },
};

const wrongTypes: readonly Row[] = Object.entries(FIELDS).flatMap(([call, fields]) =>
  Object.entries(fields).flatMap(([field, kind]) =>
    WRONG[kind].map((value) => refused(call as CallName, { [field]: value }, [field])),
  ),
);

export const FIELD_ABUSES: Readonly<Record<string, readonly Row[]>> = {
  'mass assignment': massAssignment,
  'wrong types': wrongTypes,
};
