import type { KeyObject } from 'node:crypto';
import type { AcknowledgementPolicy } from '#domain/acknowledgement.js';
import type { Outcome, Trigger } from '#domain/attempt-outcome.js';
import type { PayloadFormat } from '#domain/payload-format.js';
import type { SignatureSpec } from '#domain/signature.js';
import type { DueDelivery } from './dispatch.js';
import type { Lane } from './hint-queue.js';
import type { Rooms } from './rooms.js';
import type { ClientCertificate } from './sender.js';

/** What a worker needs of the database to carry deliveries from a hint to the log. */
export interface DeliveryStore {
  /**
   * Leases what is due, unleased and may be sent within the rooms; whatever is not is left out of the answer, and left to
   * the sweep.
   */
  claim(lane: Lane, wanted: readonly ClaimRequest[], rooms: Rooms): Promise<readonly Claimed[]>;
  /** Gives back claims that were never sent, as if they had not been made. */
  release(claims: readonly Pick<Claimed, 'deliveryId' | 'leaseToken'>[]): Promise<void>;
  /** Writes attempts and what follows from them; the answers stand in the order of the settlements. */
  settle(settlements: readonly Settlement[]): Promise<readonly Settled[]>;
  /**
   * Frees deliveries whose lease has ended, or that `leaseTokens` name, with an `unknown` attempt that charges no
   * step. Returns how many.
   */
  reconcile(limits: {
    readonly deliveriesMax: number;
    readonly leaseTokens?: readonly string[];
  }): Promise<number>;
  /** Ends a delivery that is open and not leased, without an attempt. */
  cancel(deliveryId: string): Promise<void>;
  /** Takes endpoints for slow from now on: what is hinted next of theirs goes to the slow lane. */
  markSlow(endpointIds: readonly string[]): Promise<void>;
  /** Counts anew what is in flight, where a process that was killed has left a wrong number. */
  repairInFlight(): Promise<void>;
  /** Endpoints as they are now, by id; deleted ones are absent. */
  loadTargets(endpointIds: readonly string[]): Promise<ReadonlyMap<string, Target>>;
}

export interface ClaimRequest {
  readonly deliveryId: string;
  readonly leaseToken: string;
  readonly attemptId: string;
}

export interface Claimed extends ClaimRequest {
  readonly eventId: string;
  readonly endpointId: string;
  readonly merchantId: string;
  /** Of the endpoint when the claim was made; a cached {@link Target} of another version is stale. */
  readonly endpointVersion: bigint;
  /** Number of this attempt, from 1. */
  readonly attemptNumber: number;
  /** Steps of the schedule charged so far. */
  readonly failures: number;
  readonly trigger: Trigger;
  readonly single: boolean;
  readonly payloadFormat: PayloadFormat;
  /** The waits of the event's type when the claim was made, for endpoints without waits of their own; null: it has none. */
  readonly typeScheduleSeconds: readonly number[] | null;
  readonly event: ClaimedEvent;
}

export interface ClaimedEvent {
  readonly producerId: string | null;
  readonly type: string;
  readonly createdAtMs: number;
  readonly createdAtText: string | null;
  /** Null once the event's bytes were erased or masked. */
  readonly data: Uint8Array | null;
}

/** Where and how to send: an endpoint with its secrets open. */
export interface Target {
  readonly version: bigint;
  readonly url: string;
  readonly timeoutMs: number;
  readonly signatures: readonly SignatureSpec[];
  readonly retryScheduleSeconds: readonly number[];
  /** Else the schedule is the dialect's, and one of the event's type goes before it. */
  readonly hasOwnSchedule: boolean;
  /** Live ones, oldest first. */
  readonly secrets: readonly string[];
  /** Of the live secrets that have one, oldest first. */
  readonly privateKeys: readonly KeyObject[];
  /**
   * How long all of these secrets stay live, from when the database was asked; null: until a rotation. The end of an
   * overlap raises no version.
   */
  readonly liveForMs: number | null;
  readonly acknowledgement: AcknowledgementPolicy;
  /** The merchant's own. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** What it is shown where it asks who we are; null: nothing. */
  readonly clientCertificate: ClientCertificate | null;
}

/** An attempt as the log keeps it. */
export interface AttemptRecord {
  readonly outcome: Outcome;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly statusCode: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly requestUrl: string;
  /** Signatures redacted, custom headers by name only. */
  readonly requestHeaders: readonly (readonly [name: string, value: string])[];
  readonly responseHeaders: readonly (readonly [name: string, value: string])[] | null;
  readonly responseBody: Uint8Array | null;
  readonly responseBodyTruncated: boolean;
  readonly remoteAddress: string | null;
}

export type SettlementStep =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'retry'; readonly waitMs: number }
  | { readonly kind: 'failed'; readonly isGone: boolean };

export interface Settlement {
  readonly claim: Claimed;
  readonly attempt: AttemptRecord;
  readonly step: SettlementStep;
}

/** What became of a delivery: final, waiting for a next attempt, or already out of this lease's hands. */
export type Settled =
  | { readonly kind: 'final' }
  | { readonly kind: 'retrying'; readonly next: DueDelivery & { readonly delayMs: number } }
  | { readonly kind: 'superseded' };

/** A claim is early by at most this, which absorbs the queue's timer; it is far below any wait of a schedule. */
export const EARLY_CLAIM_MS = 250;
/** A lease outlives its attempt's deadline by this: time to settle, also when the database stalls for a moment. */
export const LEASE_GRACE_MS = 5_000;
/** Bytes of events in one claim, so that a batch of the largest ones does not fill the worker's memory. */
export const CLAIM_BYTES_MAX = 8 * 1024 * 1024;
/** Attempts of one delivery that nobody saw the end of: from here on it is suspected of ending its workers. */
export const SUSPECT_AFTER_UNKNOWNS = 2;
/** From here on it is as good as certain, somebody is told, and it waits longer and longer. It never ends by itself. */
export const ALARM_AFTER_UNKNOWNS = 5;
/** An endpoint that was slow is taken for fast again once it has been quick for this long. */
export const SLOW_LANE_MS = 30_000;
