import { OPERATOR_ID } from '#domain/operator.js';
import type { Database, Statements } from './database.js';
import type { Merchant, Prisma } from './generated/client.js';
import type { OnChange } from './write-audit.js';

export type { Merchant };

/** A client or a transaction on it. */
type Merchants = Pick<Database, 'merchant'>;

export interface NewMerchant {
  /** UUID. */
  readonly id: string;
  readonly name: string;
  readonly externalId: string | null;
  readonly dialect: string;
  readonly payloadRetentionDays: number | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** @throws a unique violation when the external id is taken */
export function insertMerchant(database: Merchants, merchant: NewMerchant): Promise<Merchant> {
  return database.merchant.create({ data: { ...merchant, metadata: { ...merchant.metadata } } });
}

/** The operator is none. */
export function findMerchant(database: Merchants, id: string): Promise<Merchant | null> {
  return id === OPERATOR_ID ? Promise.resolve(null) : database.merchant.findUnique({ where: { id } });
}

/** Newest first, without the operator. */
export function listMerchants(
  database: Merchants,
  page: { readonly beforeId: string | null; readonly rowsMax: number },
): Promise<Merchant[]> {
  const where: Prisma.MerchantWhereInput = {
    id: { not: OPERATOR_ID, ...(page.beforeId !== null && { lt: page.beforeId }) },
  };
  return database.merchant.findMany({ where, orderBy: { id: 'desc' }, take: page.rowsMax });
}

export interface MerchantChanges {
  readonly name?: string;
  readonly externalId?: string | null;
  readonly dialect?: string;
  readonly payloadRetentionDays?: number | null;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Changes an active merchant. A new dialect raises the merchant's `config_version` and the version of each of its
 * endpoints, so that no process goes on with what it has cached.
 *
 * @returns null when the merchant is being erased
 * @throws a unique violation when the external id is taken
 */
export function updateMerchant(
  database: Database,
  id: string,
  changes: MerchantChanges,
  onChange: OnChange<Merchant>,
): Promise<Merchant | null> {
  return database.$transaction(async (transaction) => {
    await transaction.$queryRaw`SELECT FROM merchants WHERE id = ${id}::uuid FOR UPDATE`;
    const before = await transaction.merchant.findUnique({ where: { id } });
    if (before?.status !== 'active') return null;
    const { metadata, ...columns } = changes;
    const data: Prisma.MerchantUpdateInput = { ...columns, updatedAt: new Date() };
    if (metadata !== undefined) data.metadata = { ...metadata };
    if (changes.dialect !== undefined && changes.dialect !== before.dialect) {
      data.configVersion = { increment: 1 };
      await transaction.endpoint.updateMany({
        where: { merchantId: id, deletedAt: null },
        data: { version: { increment: 1 } },
      });
    }
    const after = await transaction.merchant.update({ where: { id }, data });
    await onChange(transaction, before, after);
    return after;
  });
}

/**
 * Begins to erase a merchant: its keys are dead, its endpoints send nothing any more, events for it are refused, and the
 * job that removes its data is there, all in one transaction. Repeatable.
 *
 * @returns false when there is no such merchant (any more)
 */
export async function beginErasingMerchant(
  database: Database,
  id: string,
  onChange: OnChange<Merchant>,
): Promise<boolean> {
  return database.$transaction(async (transaction) => {
    const [merchant] = await transaction.$queryRaw<{ status: string; now: Date }[]>`
      SELECT status, now() FROM merchants WHERE id = ${id}::uuid FOR UPDATE`;
    if (merchant === undefined) return false;
    const before = await transaction.merchant.findUniqueOrThrow({ where: { id } });
    if (merchant.status === 'erasing') {
      await onChange(transaction, before, before);
      return true;
    }
    const { now } = merchant;
    const after = await transaction.merchant.update({
      where: { id },
      data: { status: 'erasing', configVersion: { increment: 1 }, updatedAt: now },
    });
    await transaction.apiKey.updateMany({
      where: { merchantId: id, revokedAt: null },
      data: { revokedAt: now },
    });
    await transaction.endpoint.updateMany({
      where: { merchantId: id, deletedAt: null, status: { not: 'disabled' } },
      data: { status: 'disabled', disabledReason: 'manual', version: { increment: 1 }, updatedAt: now },
    });
    await transaction.endpointGate.updateMany({ where: { merchantId: id }, data: { status: 'disabled' } });
    await onChange(transaction, before, after);
    await transaction.$executeRaw`
      INSERT INTO merchant_erasures (merchant_id, begun_by)
      VALUES (${id}::uuid, pg_current_xact_id()::text::bigint)`;
    return true;
  });
}

/**
 * Whether the merchant is there and active. It stays so until the transaction ends: what is made for it in the
 * meantime cannot slip past the erasure.
 */
export async function lockActiveMerchant(statements: Statements, id: string): Promise<boolean> {
  const rows = await statements.$queryRaw<{ status: string }[]>`
    SELECT status FROM merchants WHERE id = ${id}::uuid FOR SHARE`;
  return rows[0]?.status === 'active';
}
