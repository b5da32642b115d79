import { Prisma } from './generated/client.js';

/** A column that holds sealed values, and what it takes to seal them anew. */
export interface SealedColumn {
  readonly table: string;
  readonly column: string;
  /** The primary key: the order in which the table is gone through. */
  readonly key: readonly { readonly column: string; readonly type: 'uuid' | 'text' | 'smallint' }[];
  /** Which rows can hold one, where the table has many more. */
  readonly where?: Prisma.Sql;
  /** The row's id as the secret box knows it: the associated data of its values. */
  readonly rowId: Prisma.Sql;
}

const ID = [{ column: 'id', type: 'uuid' }] as const;

/**
 * Every column of the schema that holds sealed values: a new one that is not here would be lost with the key that it was
 * sealed under. A test compares this with the schema.
 */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'endpoint_secrets', column: 'sealed', key: ID, rowId: Prisma.sql`id::text` },
  { table: 'endpoints', column: 'headers_sealed', key: ID, rowId: Prisma.sql`id::text` },
  { table: 'endpoints', column: 'client_certificate_sealed', key: ID, rowId: Prisma.sql`id::text` },
  {
    table: 'idempotency_keys',
    column: 'response_sealed',
    key: [
      { column: 'kind', type: 'text' },
      { column: 'key', type: 'text' },
      { column: 'merchant_id', type: 'uuid' },
    ],
    // The others are producers' event ids, as many as there are events.
    where: Prisma.sql`kind = 'header'`,
    rowId: Prisma.sql`'idempotency_keys/' || merchant_id || '/' || key`,
  },
  {
    table: 'audit_chain_key',
    column: 'sealed',
    key: [{ column: 'id', type: 'smallint' }],
    rowId: Prisma.sql`'audit_chain_key/' || id`,
  },
];

/** One for each key, sealed under that key for good: they are taken away and not sealed anew. */
export const CANARY_COLUMN = { table: 'encryption_canaries', column: 'sealed' } as const;
