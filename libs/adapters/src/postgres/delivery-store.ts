import { privateKeyOf } from '#domain/signing-pair.js';
import type {
  Claimed,
  ClaimRequest,
  DeliveryStore,
  Settled,
  Settlement,
  Target,
} from '#pipeline/delivery-store.js';
import type { DispatchStore, DueDelivery, TakeLimits } from '#pipeline/dispatch.js';
import type { Lane } from '#pipeline/hint-queue.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { cancelDelivery } from './cancel-deliveries.js';
import { claimDeliveries } from './claim-deliveries.js';
import type { Database, Statements } from './database.js';
import { openSecret } from './endpoint-secrets.js';
import { loadTargets } from './endpoints-load.js';
import { openClientCertificate, openHeaders } from './endpoints-record.js';
import { reconcileLeases } from './reconcile-leases.js';
import { releaseClaims } from './release-claims.js';
import { settleDeliveries } from './settle-deliveries.js';
import { isAnyHeldBack, takeDueDeliveries, unhintDeliveries } from './take-due-deliveries.js';
import { markSlow, repairInFlight } from './write-gates.js';
import type { Rooms } from '#pipeline/rooms.js';

/** The ports of dispatch and of the worker's steps on PostgreSQL. */
export class PostgresDeliveryStore implements DeliveryStore, DispatchStore {
  #lastAtTheGates: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly db: Database,
    private readonly statements: Statements,
    private readonly secretBox: SecretBox,
  ) {}

  takeDue(lane: Lane, limits: TakeLimits): Promise<DueDelivery[]> {
    return takeDueDeliveries(this.statements, this.db, lane, limits);
  }

  isAnyHeldBack(): Promise<boolean> {
    return isAnyHeldBack(this.statements);
  }

  unhint(deliveryIds: readonly string[]): Promise<void> {
    return unhintDeliveries(this.statements, deliveryIds);
  }

  claim(lane: Lane, wanted: readonly ClaimRequest[], rooms: Rooms): Promise<readonly Claimed[]> {
    return this.#atTheGates(() => claimDeliveries(this.statements, lane, wanted, rooms));
  }

  markSlow(endpointIds: readonly string[]): Promise<void> {
    return markSlow(this.db, endpointIds);
  }

  repairInFlight(): Promise<void> {
    return repairInFlight(this.db);
  }

  release(claims: readonly Pick<Claimed, 'deliveryId' | 'leaseToken'>[]): Promise<void> {
    return releaseClaims(this.statements, claims);
  }

  settle(settlements: readonly Settlement[]): Promise<readonly Settled[]> {
    return this.#atTheGates(() => settleDeliveries(this.statements, settlements));
  }

  reconcile(limits: {
    readonly deliveriesMax: number;
    readonly leaseTokens?: readonly string[];
  }): Promise<number> {
    return reconcileLeases(this.statements, limits);
  }

  async cancel(deliveryId: string): Promise<void> {
    await cancelDelivery(this.db, { id: deliveryId });
  }

  async loadTargets(endpointIds: readonly string[]): Promise<ReadonlyMap<string, Target>> {
    const targets = new Map<string, Target>();
    for (const [id, row] of await loadTargets(this.db, endpointIds)) {
      const secrets = row.secrets.map((secret) => openSecret(this.secretBox, secret));
      targets.set(id, {
        version: row.version,
        url: row.url,
        timeoutMs: row.timeoutMs,
        signatures: row.signatures,
        retryScheduleSeconds: row.retryScheduleSeconds,
        secrets: secrets.map(({ secret }) => secret),
        privateKeys: secrets.flatMap(({ pair }) => (pair === null ? [] : [privateKeyOf(pair.seed)])),
        liveForMs: row.liveForMs,
        acknowledgement: row.acknowledgement,
        hasOwnSchedule: row.hasOwnSchedule,
        headers: openHeaders(this.secretBox, id, row.headersSealed),
        clientCertificate: openClientCertificate(this.secretBox, id, row.clientCertificateSealed),
      });
    }
    return targets;
  }

  /**
   * One after the other: a claim and a settle of one worker mostly write the same gates. At once, one of them waits for the
   * other's locks in PostgreSQL and then starts its statement over with the rows as they are by then.
   */
  #atTheGates<Result>(run: () => Promise<Result>): Promise<Result> {
    const result = this.#lastAtTheGates.then(run);
    this.#lastAtTheGates = result.catch(() => undefined);
    return result;
  }
}
