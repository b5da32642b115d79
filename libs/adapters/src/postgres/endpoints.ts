import type { RequiredMember } from '#domain/acknowledgement.js';
import type { Dialect, DialectParts } from '#domain/dialects.js';
import type { IdMaker } from '#domain/ids.js';
import type { FilterCondition } from '#domain/payload-filter.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { ClientCertificate } from '#pipeline/sender.js';
import { CANCEL_BATCH_MAX, cancelOpenOfEndpoint } from './cancel-deliveries.js';
import type { Database } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import type { PageRequest } from './delivery-log-page.js';
import {
  addSigningPair,
  type EndpointSecret,
  liveSecrets,
  newSigningPair,
  replaceSecret,
  sealSecret,
} from './endpoint-secrets.js';
import {
  type CustomHeader,
  type DialectOverrides,
  dialectOf,
  effectiveEndpoint,
  ENDPOINT_RELATIONS,
  type EndpointRecord,
  type EndpointStatus,
  type Metadata,
  sealClientCertificate,
  sealHeaders,
  toEndpointRecord,
} from './endpoints-record.js';
import { Prisma } from './generated/client.js';
import type { Transaction } from './idempotent-posts.js';
import type { OnChange } from './write-audit.js';
import { tellDisabled } from './notices.js';

/** Bounds what one event fans out to, and so what one accept has to write. */
export const ENDPOINTS_PER_MERCHANT_MAX = 200;

/** The current one, the one that it replaces, and one more for a receiver that has not kept up. */
export const LIVE_SECRETS_MAX = 3;

/** Which endpoint is meant, and whose it has to be; without `merchantId`, anybody's. */
export interface EndpointRef {
  readonly id: string;
  readonly merchantId?: string | undefined;
}

export interface NewEndpoint {
  readonly url: string;
  readonly events: readonly string[];
  readonly description: string | null;
  readonly overrides: DialectOverrides;
  readonly timeoutMs: number;
  readonly rateLimitPerSecond: number | null;
  readonly maxInFlight: number;
  readonly headers: readonly CustomHeader[];
  readonly clientCertificate: ClientCertificate | null;
  readonly filter: readonly FilterCondition[] | null;
  readonly successStatuses: readonly number[] | null;
  readonly requiredResponse: readonly RequiredMember[] | null;
  readonly metadata: Metadata;
  readonly secret: string;
}

/** Only what is named changes. */
export interface EndpointChanges {
  readonly url?: string | undefined;
  readonly events?: readonly string[] | undefined;
  readonly description?: string | null | undefined;
  readonly overrides?: Partial<DialectOverrides> | undefined;
  readonly timeoutMs?: number | undefined;
  readonly rateLimitPerSecond?: number | null | undefined;
  readonly maxInFlight?: number | undefined;
  readonly headers?: readonly CustomHeader[] | undefined;
  readonly clientCertificate?: ClientCertificate | null | undefined;
  readonly filter?: readonly FilterCondition[] | null | undefined;
  readonly successStatuses?: readonly number[] | null | undefined;
  readonly requiredResponse?: readonly RequiredMember[] | null | undefined;
  readonly metadata?: Metadata | undefined;
  readonly status?: EndpointStatus | undefined;
}

export type EndpointCreated =
  | { readonly kind: 'created'; readonly endpoint: EndpointRecord; readonly secret: EndpointSecret }
  | { readonly kind: 'merchant_not_found' }
  | { readonly kind: 'too_many_endpoints' };

export interface SecretRotation {
  readonly secret: string;
  /** How long the secrets before it stay live; 0: they end now. */
  readonly overlapSeconds: number;
}

export type SecretRotated =
  | {
      readonly kind: 'rotated';
      readonly endpoint: EndpointRecord;
      readonly secrets: readonly EndpointSecret[];
    }
  | { readonly kind: 'endpoint_not_found' }
  /** There would be more than {@link LIVE_SECRETS_MAX}. */
  | { readonly kind: 'too_many_secrets' };

/**
 * The endpoints of merchants. Each change is one transaction that first locks the merchant's row, so that two
 * changes of one merchant follow each other, and that raises the versions by which accept and the workers know that
 * what they remember is old.
 */
export class EndpointRepository {
  readonly #db: Database;
  readonly #box: SecretBox;
  readonly #ids: IdMaker;

  constructor(db: Database, box: SecretBox, ids: IdMaker) {
    this.#db = db;
    this.#box = box;
    this.#ids = ids;
  }

  /**
   * Makes an endpoint as `decide` says once the merchant is locked and its dialect known; what `decide` throws undoes
   * everything.
   */
  async create(
    tx: Transaction,
    merchantId: string,
    decide: (merchantDialect: Dialect) => NewEndpoint,
  ): Promise<EndpointCreated> {
    const [merchant] = await tx.$queryRaw<{ now: Date; dialect: string }[]>`
      SELECT now(), dialect FROM merchants WHERE id = ${merchantId}::uuid AND status = 'active' FOR NO KEY UPDATE`;
    if (merchant === undefined) return { kind: 'merchant_not_found' };
    const { now, dialect } = merchant;
    const endpoint = decide(dialectOf(dialect));
    const count = await tx.endpoint.count({ where: { merchantId, deletedAt: null } });
    if (count >= ENDPOINTS_PER_MERCHANT_MAX) return { kind: 'too_many_endpoints' };

    const id = this.#ids.uuid();
    const secret: EndpointSecret = {
      id: this.#ids.uuid(),
      secret: endpoint.secret,
      pair: signsWithPair(effectiveEndpoint(endpoint.overrides, dialectOf(dialect)))
        ? newSigningPair()
        : null,
      expiresAt: null,
    };
    const row = await tx.endpoint.create({
      data: {
        id,
        merchantId,
        url: endpoint.url,
        events: [...endpoint.events],
        description: endpoint.description,
        ...overrideData(endpoint.overrides),
        timeoutMs: endpoint.timeoutMs,
        rateLimitPerSecond: endpoint.rateLimitPerSecond,
        maxInFlight: endpoint.maxInFlight,
        headersSealed: sealHeaders(this.#box, id, endpoint.headers),
        clientCertificateSealed: sealClientCertificate(this.#box, id, endpoint.clientCertificate),
        filter: jsonOf(endpoint.filter),
        successStatuses: jsonOf(endpoint.successStatuses),
        requiredResponse: jsonOf(endpoint.requiredResponse),
        metadata: { ...endpoint.metadata },
        createdAt: now,
        updatedAt: now,
        gate: { create: { merchantId } },
        secrets: { create: { id: secret.id, ...sealSecret(this.#box, secret), createdAt: now } },
      },
      include: ENDPOINT_RELATIONS,
    });
    await raiseConfigVersion(tx, merchantId);
    return { kind: 'created', endpoint: toEndpointRecord(row, this.#box), secret };
  }

  /** Newest first; deleted ones are left out. Without `merchantId`, across merchants. */
  async list(merchantId: string | undefined, page: PageRequest): Promise<EndpointRecord[]> {
    const rows = await this.#db.endpoint.findMany({
      where: {
        deletedAt: null,
        ...(merchantId !== undefined && { merchantId }),
        ...(page.beforeId !== null && { id: { lt: page.beforeId } }),
      },
      orderBy: { id: 'desc' },
      take: page.rowsMax,
      include: ENDPOINT_RELATIONS,
    });
    return rows.map((row) => toEndpointRecord(row, this.#box));
  }

  /** Null when there is none, or none of this merchant, or it was deleted. */
  async get(ref: EndpointRef): Promise<EndpointRecord | null> {
    const row = await this.#db.endpoint.findFirst({ where: whereLive(ref), include: ENDPOINT_RELATIONS });
    return row && toEndpointRecord(row, this.#box);
  }

  /** Whose endpoint this is, deleted ones included, because their log stays; null when it is not this merchant's. */
  async ownerOf(ref: EndpointRef): Promise<string | null> {
    const row = await this.#db.endpoint.findFirst({
      where: { id: ref.id, ...(ref.merchantId !== undefined && { merchantId: ref.merchantId }) },
      select: { merchantId: true },
    });
    return row?.merchantId ?? null;
  }

  /**
   * Changes an endpoint as `decide` says, given it as it stands under the lock and its live secrets; what `decide`
   * throws undoes everything. Disabling cancels what is open and not in flight; enabling revives none of it. Pausing
   * and resuming write the endpoint and its gate, however much is open: no attempt begins once a pause is committed,
   * and the next sweep finds what waited. A status that it has already changes nothing.
   */
  async update(
    ref: EndpointRef,
    decide: (current: EndpointRecord, secrets: readonly string[]) => EndpointChanges,
    onChange?: OnChange<EndpointRecord>,
  ): Promise<EndpointRecord | null> {
    const updated = await this.#inTransaction(async (tx) => {
      const locked = await lockMerchantOf(tx, ref);
      if (locked === null) return null;
      const { now, owned } = locked;
      const row = await tx.endpoint.findUniqueOrThrow({ where: owned, include: ENDPOINT_RELATIONS });
      const current = toEndpointRecord(row, this.#box);
      const secrets = await liveSecrets(tx, this.#box, owned);
      const changes = news(
        decide(
          current,
          secrets.map(({ secret }) => secret),
        ),
        current,
      );
      if (Object.values(changes).every((value) => value === undefined)) return current;

      const changed = await tx.endpoint.update({
        where: owned,
        data: { ...this.#changeData(current, changes), version: { increment: 1 }, updatedAt: now },
        include: ENDPOINT_RELATIONS,
      });
      const after = toEndpointRecord(changed, this.#box);
      if (signsWithPair(effectiveEndpoint(after.overrides, after.merchantDialect)))
        await addSigningPair(tx, this.#box, owned);
      if (changes.status !== undefined) await setGateStatus(tx, owned, changes.status, current.status);
      if (changes.status === 'disabled') await tellDisabled(tx, [ref.id], 'manual');
      if (changesMatching(changes, current)) await raiseConfigVersion(tx, owned.merchantId);
      await onChange?.(tx, current, after);
      return after;
    });
    if (updated?.status === 'disabled') await cancelOpenOfEndpoint(this.#db, updated, CANCEL_BATCH_MAX);
    return updated;
  }

  /**
   * Deletes an endpoint: it gets no further event or attempt, what is open and not in flight is cancelled, its log
   * stays. False when there is none.
   */
  async delete(ref: EndpointRef, onChange?: OnChange<EndpointRecord>): Promise<boolean> {
    const deleted = await this.#inTransaction(async (tx) => {
      const locked = await lockMerchantOf(tx, ref);
      if (locked === null) return null;
      const { now, owned } = locked;
      const before = await tx.endpoint.findUniqueOrThrow({ where: owned, include: ENDPOINT_RELATIONS });
      const after = await tx.endpoint.update({
        where: owned,
        data: { deletedAt: now, updatedAt: now, status: 'disabled', version: { increment: 1 } },
        include: ENDPOINT_RELATIONS,
      });
      await setGateStatus(tx, owned, 'disabled');
      await raiseConfigVersion(tx, owned.merchantId);
      await onChange?.(tx, toEndpointRecord(before, this.#box), toEndpointRecord(after, this.#box));
      return owned;
    });
    if (deleted !== null) await cancelOpenOfEndpoint(this.#db, deleted, CANCEL_BATCH_MAX);
    return deleted !== null;
  }

  /** The live secrets, oldest first: the last one is current. */
  secretsOf(endpoint: OwnedEndpoint): Promise<EndpointSecret[]> {
    return liveSecrets(this.#db, this.#box, endpoint);
  }

  /**
   * Gives an endpoint a new secret as `decide` says, given it as it stands under the lock and its live secrets; what
   * `decide` throws undoes everything. Its pair, if it has one, is replaced with it.
   */
  async rotateSecret(
    tx: Transaction,
    ref: EndpointRef,
    decide: (current: EndpointRecord, secrets: readonly EndpointSecret[]) => SecretRotation,
  ): Promise<SecretRotated> {
    const locked = await lockMerchantOf(tx, ref);
    if (locked === null) return { kind: 'endpoint_not_found' };
    const { now, owned } = locked;
    const row = await tx.endpoint.findUniqueOrThrow({ where: owned, include: ENDPOINT_RELATIONS });
    const before = await liveSecrets(tx, this.#box, owned);
    const { secret, overlapSeconds } = decide(toEndpointRecord(row, this.#box), before);
    const remaining = overlapSeconds === 0 ? 0 : before.length;
    if (remaining + 1 > LIVE_SECRETS_MAX) return { kind: 'too_many_secrets' };
    const pair = (before.at(-1)?.pair ?? null) === null ? null : newSigningPair();
    const next = { id: this.#ids.uuid(), secret, pair };
    await replaceSecret(tx, this.#box, owned, next, overlapSeconds);
    const changed = await tx.endpoint.update({
      where: owned,
      data: { version: { increment: 1 }, updatedAt: now },
      include: ENDPOINT_RELATIONS,
    });
    const secrets = await liveSecrets(tx, this.#box, owned);
    return { kind: 'rotated', endpoint: toEndpointRecord(changed, this.#box), secrets };
  }

  /** Settling a 410 takes the same rows from the other end, so one of the two may have to begin again. */
  #inTransaction<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result> {
    return withDeadlockRetry(() => this.#db.$transaction(work));
  }

  #changeData(current: EndpointRecord, changes: EndpointChanges): Prisma.EndpointUpdateInput {
    const { url, events, description, overrides, timeoutMs, headers, metadata, status } = changes;
    const { rateLimitPerSecond, maxInFlight, clientCertificate, filter, successStatuses, requiredResponse } =
      changes;
    return {
      ...(url !== undefined && { url }),
      ...(events !== undefined && { events: [...events] }),
      ...(description !== undefined && { description }),
      ...(overrides !== undefined && overrideData({ ...current.overrides, ...overrides })),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(rateLimitPerSecond !== undefined && { rateLimitPerSecond }),
      ...(maxInFlight !== undefined && { maxInFlight }),
      ...(headers !== undefined && { headersSealed: sealHeaders(this.#box, current.id, headers) }),
      ...(clientCertificate !== undefined && {
        clientCertificateSealed: sealClientCertificate(this.#box, current.id, clientCertificate),
      }),
      ...(filter !== undefined && { filter: jsonOf(filter) }),
      ...(successStatuses !== undefined && { successStatuses: jsonOf(successStatuses) }),
      ...(requiredResponse !== undefined && { requiredResponse: jsonOf(requiredResponse) }),
      ...(metadata !== undefined && { metadata: { ...metadata } }),
      ...(status !== undefined && { status, disabledReason: status === 'disabled' ? 'manual' : null }),
    };
  }
}

/** An endpoint together with the merchant that it belongs to: what every statement on it carries. */
interface OwnedEndpoint {
  readonly id: string;
  readonly merchantId: string;
}

/**
 * The database's time and whose endpoint it is, once the merchant of a live endpoint is locked; null when there is no
 * such endpoint, or its merchant is being erased.
 */
async function lockMerchantOf(
  tx: Transaction,
  { id, merchantId }: EndpointRef,
): Promise<{ readonly now: Date; readonly owned: OwnedEndpoint } | null> {
  const owner = merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${merchantId}::uuid`;
  const [locked] = await tx.$queryRaw<{ now: Date; merchantId: string }[]>`
    SELECT now(), id AS "merchantId" FROM merchants
    WHERE id = (SELECT merchant_id FROM endpoints WHERE id = ${id}::uuid ${owner}) AND status = 'active'
    FOR NO KEY UPDATE`;
  if (locked === undefined) return null;
  // Looked at under the lock: the row that led here may have been deleted while this waited for it.
  const owned = { id, merchantId: locked.merchantId };
  const live = await tx.endpoint.count({ where: { ...owned, deletedAt: null } });
  return live === 0 ? null : { now: locked.now, owned };
}

async function raiseConfigVersion(tx: Transaction, merchantId: string): Promise<void> {
  await tx.merchant.update({
    where: { id: merchantId },
    data: { configVersion: { increment: 1 } },
    select: { id: true },
  });
}

/** What an endpoint failed before it was disabled is no reason to disable it again. */
async function setGateStatus(
  tx: Transaction,
  { id: endpointId, merchantId }: OwnedEndpoint,
  status: EndpointStatus,
  before?: EndpointStatus,
): Promise<void> {
  const isNewStart = status === 'disabled' || before === 'disabled';
  const cleared = isNewStart ? { failingSince: null, failingAttempts: 0, isFailingTold: false } : {};
  await tx.endpointGate.update({
    where: { endpointId, merchantId },
    data: { status, ...cleared },
    select: { endpointId: true },
  });
}

/** Without a status that the endpoint has already: one that is disabled keeps the reason that it was disabled for. */
function news(changes: EndpointChanges, current: EndpointRecord): EndpointChanges {
  return changes.status === current.status ? { ...changes, status: undefined } : changes;
}

/**
 * Whether accept might now choose other endpoints, or another format for the same ones. One that is paused is chosen as
 * an enabled one is: its deliveries are made, and held.
 */
function changesMatching(
  { events, filter, status, overrides }: EndpointChanges,
  current: EndpointRecord,
): boolean {
  return (
    events !== undefined ||
    filter !== undefined ||
    (status !== undefined && (status === 'disabled') !== (current.status === 'disabled')) ||
    overrides?.dialect !== undefined ||
    overrides?.payloadFormat !== undefined
  );
}

function signsWithPair({ signatures }: Pick<DialectParts, 'signatures'>): boolean {
  return signatures.some(({ scheme }) => scheme === 'standard-webhooks-ed25519');
}

/** A value of JSON's own types in a column that may be NULL. */
function jsonOf(
  value: readonly object[] | readonly number[] | null,
): Prisma.InputJsonArray | typeof Prisma.DbNull {
  return value ?? Prisma.DbNull;
}

function whereLive({ id, merchantId }: EndpointRef): Prisma.EndpointWhereInput {
  return { id, deletedAt: null, ...(merchantId !== undefined && { merchantId }) };
}

function overrideData(overrides: DialectOverrides): {
  dialect: string | null;
  payloadFormat: string | null;
  signatures: Prisma.InputJsonArray | typeof Prisma.DbNull;
  retryScheduleSeconds: Prisma.InputJsonArray | typeof Prisma.DbNull;
} {
  const { dialect, payloadFormat, signatures, retryScheduleSeconds } = overrides;
  return {
    dialect,
    payloadFormat,
    signatures: signatures === null ? Prisma.DbNull : signatures.map((spec) => ({ ...spec })),
    retryScheduleSeconds: retryScheduleSeconds === null ? Prisma.DbNull : [...retryScheduleSeconds],
  };
}
