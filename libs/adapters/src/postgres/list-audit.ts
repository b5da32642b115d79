import type { AuditAction } from '#domain/audit-actions.js';
import { uuidFloor } from '#domain/ids.js';
import type { Statements } from './database.js';
import type { PageRequest } from './delivery-log-page.js';
import { Prisma } from './generated/client.js';
import type { AuditPayload } from './write-audit.js';

export interface AuditFilter {
  readonly merchantId?: string | undefined;
  /** A key's TypeID, `environment` or `system`. */
  readonly actor?: string | undefined;
  /** UUID. */
  readonly keyId?: string | undefined;
  readonly action?: AuditAction | undefined;
  /** Unix milliseconds, inclusive. */
  readonly createdAfterMs?: number | undefined;
  /** Unix milliseconds, exclusive. */
  readonly createdBeforeMs?: number | undefined;
}

export interface AuditRow {
  readonly id: string;
  /** Null until it is sealed. */
  readonly sequence: bigint | null;
  readonly merchantId: string | null;
  readonly actor: string;
  readonly keyId: string | null;
  readonly action: AuditAction;
  readonly target: string | null;
  readonly createdAt: Date;
  /** Null once erased. */
  readonly payload: AuditPayload | null;
}

/** Newest first. An entry's id carries its time, so a range of times is a range of ids. */
export async function listAudit(
  db: Statements,
  filter: AuditFilter,
  { beforeId, rowsMax }: PageRequest,
): Promise<AuditRow[]> {
  const { merchantId, actor, keyId, action, createdAfterMs, createdBeforeMs } = filter;
  const conditions = [
    ...(merchantId === undefined ? [] : [Prisma.sql`merchant_id = ${merchantId}::uuid`]),
    ...(actor === undefined ? [] : [Prisma.sql`actor = ${actor}`]),
    ...(keyId === undefined ? [] : [Prisma.sql`key_id = ${keyId}::uuid`]),
    ...(action === undefined ? [] : [Prisma.sql`action = ${action}`]),
    ...(createdAfterMs === undefined ? [] : [Prisma.sql`id >= ${floorOf(createdAfterMs)}::uuid`]),
    ...(createdBeforeMs === undefined ? [] : [Prisma.sql`id < ${floorOf(createdBeforeMs)}::uuid`]),
    ...(beforeId === null ? [] : [Prisma.sql`id < ${beforeId}::uuid`]),
  ];
  const where = conditions.length === 0 ? Prisma.sql`true` : Prisma.join(conditions, ' AND ');
  const rows = await db.$queryRaw<(Omit<AuditRow, 'payload'> & { readonly payload: string | null })[]>`
    SELECT id, sequence, merchant_id AS "merchantId", actor, key_id AS "keyId", action, target,
           created_at AS "createdAt", payload
    FROM audit_log WHERE ${where} ORDER BY id DESC LIMIT ${rowsMax}`;
  return rows.map((row) => ({
    ...row,
    payload: row.payload === null ? null : (JSON.parse(row.payload) as AuditPayload),
  }));
}

/** A time before 1970 has no ids before it. */
function floorOf(ms: number): string {
  return uuidFloor(Math.max(0, ms));
}
