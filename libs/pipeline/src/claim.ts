import { randomUUID } from 'node:crypto';
import type { IdMaker } from '#domain/ids.js';
import type { Claimed, ClaimRequest, DeliveryStore } from './delivery-store.js';
import type { Lane } from './hint-queue.js';
import type { InFlight, InFlightAttempt } from './in-flight.js';
import { MicroBatch } from './micro-batch.js';
import type { Releaser } from './settle.js';

/** A claim as this worker has it in hand. */
export interface HeldClaim extends Claimed {
  /** When the statement that made it began, on this process's monotonic clock. */
  readonly claimStartedMs: number;
  readonly inHand: InFlightAttempt;
}

/** Makes one statement of the claims of a lane's hints that arrive together. */
export class Claimer {
  private readonly batches: MicroBatch<string, HeldClaim | null>;

  constructor(
    private readonly store: Pick<DeliveryStore, 'claim'>,
    private readonly ids: IdMaker,
    private readonly inFlight: Pick<InFlight, 'rooms' | 'begin'>,
    private readonly lane: Lane,
    private readonly monotonicMs: () => number,
    private readonly releaser: Pick<Releaser, 'takeBack'>,
  ) {
    this.batches = new MicroBatch({
      run: (deliveryIds) => this.claimAll(deliveryIds),
      itemsMax: CLAIMS_PER_STATEMENT_MAX,
      runsMax: CLAIMS_AT_ONCE_MAX,
      gatherMs: GATHER_MS,
    });
  }

  /** Leases a delivery, or resolves with null when there is nothing to do for it now: its hint can be dropped. */
  claim(deliveryId: string): Promise<HeldClaim | null> {
    return this.batches.add(deliveryId);
  }

  private async claimAll(deliveryIds: readonly string[]): Promise<(HeldClaim | null)[]> {
    const claimStartedMs = this.monotonicMs();
    const wanted = new Map<string, ClaimRequest>();
    for (const deliveryId of deliveryIds) {
      if (wanted.has(deliveryId)) continue;
      wanted.set(deliveryId, { deliveryId, leaseToken: randomUUID(), attemptId: this.ids.uuid() });
    }
    const claims = new Map<string, HeldClaim>();
    for (const claimed of await this.made([...wanted.values()])) {
      const inHand = this.inFlight.begin(claimed, this.lane);
      claims.set(claimed.deliveryId, { ...claimed, claimStartedMs, inHand });
    }
    return deliveryIds.map((deliveryId) => {
      const claim = claims.get(deliveryId) ?? null;
      // A delivery that was hinted twice in one batch has one claim, and the first hint gets it.
      claims.delete(deliveryId);
      return claim;
    });
  }

  private async made(wanted: readonly ClaimRequest[]): Promise<readonly Claimed[]> {
    try {
      return await this.store.claim(this.lane, wanted, this.inFlight.rooms(this.lane));
    } catch (error) {
      // Beside: whoever asked is told at once. When it fails as well, leases and marks end by themselves.
      this.releaser.takeBack(wanted, error).catch(() => undefined);
      throw error;
    }
  }
}

/** Six full hints, some seven milliseconds of PostgreSQL: what comes meanwhile waits for no more than that. */
const CLAIMS_PER_STATEMENT_MAX = 192;
/** Claims that run at once would each be given the same room, and between them take it twice. */
const CLAIMS_AT_ONCE_MAX = 1;
/** A statement for many costs hardly more than one for few, and while few come none of them waits. */
const GATHER_MS = 10;
