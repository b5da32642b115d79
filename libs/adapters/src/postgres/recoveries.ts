import { formatId } from '#domain/ids.js';
import type { Database } from './database.js';
import type { PageRequest } from './delivery-log-page.js';
import type { Recovery } from './generated/client.js';
import type { Transaction } from './idempotent-posts.js';
import type { RecoverableCount, RecoveryScope } from './recoverable.js';

export type { Recovery };

export interface NewRecovery {
  readonly id: string;
  readonly merchantId: string;
  readonly scope: RecoveryScope;
  readonly ratePerSecond: number | null;
  readonly counted: RecoverableCount;
}

export type RecoveryCreated =
  | { readonly kind: 'created'; readonly recovery: Recovery }
  /** Its endpoint was deleted meanwhile. */
  | { readonly kind: 'not_found' }
  | { readonly kind: 'endpoint_disabled' }
  /** Another one of the endpoint is running that may open some of the same deliveries. */
  | { readonly kind: 'overlaps'; readonly recoveryId: string };

/**
 * Begins a recovery, unless one that is running overlaps it. Those of one endpoint follow each other: its row is locked
 * until the transaction ends.
 */
export async function createRecovery(tx: Transaction, recovery: NewRecovery): Promise<RecoveryCreated> {
  const { id, merchantId, scope, ratePerSecond, counted } = recovery;
  const [endpoint] = await tx.$queryRaw<{ status: string }[]>`
    SELECT status FROM endpoints
    WHERE id = ${scope.endpointId}::uuid AND merchant_id = ${merchantId}::uuid AND deleted_at IS NULL
    FOR NO KEY UPDATE`;
  if (endpoint === undefined) return { kind: 'not_found' };
  if (endpoint.status === 'disabled') return { kind: 'endpoint_disabled' };
  const [other] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM recoveries
    WHERE endpoint_id = ${scope.endpointId}::uuid AND merchant_id = ${merchantId}::uuid AND status = 'running'
      AND since < ${scope.until} AND until > ${scope.since} AND statuses && ${[...scope.statuses]}::text[]
      AND (${scope.eventTypes.length === 0} OR coalesce(event_types, '{}') = '{}'
           OR event_types && ${[...scope.eventTypes]}::text[])
    LIMIT 1`;
  if (other !== undefined) return { kind: 'overlaps', recoveryId: formatId('rec', other.id) };
  const isDone = counted.recoverable === 0;
  const created = await tx.recovery.create({
    data: {
      id,
      merchantId,
      endpointId: scope.endpointId,
      since: scope.since,
      until: scope.until,
      statuses: [...scope.statuses],
      eventTypes: [...scope.eventTypes],
      ratePerSecond,
      status: isDone ? 'completed' : 'running',
      total: counted.recoverable,
      skipped: isDone ? counted.lost : 0,
      createdAt: scope.asOf,
      completedAt: isDone ? scope.asOf : null,
    },
  });
  return { kind: 'created', recovery: created };
}

/** Null when there is none, or none of this merchant; without `merchantId`, anybody's. */
export function findRecovery(
  db: Database,
  ref: { readonly id: string; readonly merchantId?: string | undefined },
): Promise<Recovery | null> {
  return db.recovery.findFirst({
    where: { id: ref.id, ...(ref.merchantId !== undefined && { merchantId: ref.merchantId }) },
  });
}

/** Of one endpoint, newest first. */
export function listRecoveries(
  db: Database,
  endpoint: { readonly id: string; readonly merchantId: string },
  page: PageRequest,
): Promise<Recovery[]> {
  return db.recovery.findMany({
    where: {
      endpointId: endpoint.id,
      merchantId: endpoint.merchantId,
      ...(page.beforeId !== null && { id: { lt: page.beforeId } }),
    },
    orderBy: { id: 'desc' },
    take: page.rowsMax,
  });
}

/**
 * Ends a recovery: nothing further is opened once this has committed, and what is open goes on. Waits for a batch that
 * is under way. Null when it has ended already.
 */
export async function cancelRecovery(
  tx: Transaction,
  { id, merchantId }: { readonly id: string; readonly merchantId: string },
): Promise<Recovery | null> {
  const cancelled = await tx.$executeRaw`
    UPDATE recoveries SET status = 'cancelled', completed_at = now() 
    WHERE id = ${id}::uuid AND merchant_id = ${merchantId}::uuid AND status = 'running'`;
  return cancelled === 0 ? null : tx.recovery.findUnique({ where: { id, merchantId } });
}
