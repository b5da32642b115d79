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
import type { Database, OrderedStatements } from './database.js';
import { loadDeliveryTargets } from './load-delivery-targets.js';
import { reconcileLeases } from './reconcile-leases.js';
import { releaseClaims } from './release-claims.js';
import { settleDeliveries } from './settle-deliveries.js';
import { isAnyHeldBack, takeDueDeliveries, unhintDeliveries } from './take-due-deliveries.js';
import { markSlow, repairInFlight } from './write-gates.js';
import type { Rooms } from '#pipeline/rooms.js';

/**
 * The ports of dispatch and of the worker's steps on PostgreSQL. A claim and a settle of one worker mostly write the same gates,
 * so they run in order.
 */
export class PostgresDeliveryStore implements DeliveryStore, DispatchStore {
  constructor(
    private readonly db: Database,
    private readonly statements: OrderedStatements,
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
    return claimDeliveries(this.statements.inOrder, lane, wanted, rooms);
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
    return settleDeliveries(this.statements.inOrder, settlements);
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

  loadTargets(endpointIds: readonly string[]): Promise<ReadonlyMap<string, Target>> {
    return loadDeliveryTargets(this.db, this.secretBox, endpointIds);
  }
}
