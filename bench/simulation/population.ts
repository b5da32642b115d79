import { LOAD, RECEIVERS } from './parameters.js';
import type { Random } from './random.js';

/** How a merchant's receivers behave. */
export type Kind = 'good' | 'slow' | 'hanging' | 'flaky' | 'dead';

export interface Merchant {
  /** From 1: the one with the most events. */
  readonly rank: number;
  readonly kind: Kind;
  readonly eventsPerSecond: number;
  /** Of each endpoint: the median of its answers when it is well. */
  readonly endpointMediansMs: readonly number[];
}

/** Events a second of the merchants of all ranks, in their order. */
export function ratesByRank(): number[] {
  const weights = Array.from({ length: LOAD.merchants }, (_, index) => (index + 1) ** -LOAD.zipfExponent);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (weight / total) * LOAD.eventsPerSecond);
}

/** @param isAnyBad false: the same merchants, and all of them behave well */
export function makeMerchants(random: Random, isAnyBad: boolean): Merchant[] {
  const kinds = drawKinds(random);
  return ratesByRank().map((eventsPerSecond, index) => {
    const endpoints = Math.ceil(eventsPerSecond / LOAD.eventsOfEndpointMax);
    return {
      rank: index + 1,
      kind: isAnyBad ? (kinds[index] as Kind) : 'good',
      eventsPerSecond,
      endpointMediansMs: Array.from({ length: endpoints }, () => drawMedianMs(random)),
    };
  });
}

/** The same number of each kind among every hundred ranks, so that a kind's part of the traffic is not left to luck. */
function drawKinds(random: Random): Kind[] {
  const stratum = 100;
  const kinds: Kind[] = [];
  while (kinds.length < LOAD.merchants) {
    const ofStratum = new Array<Kind>(stratum).fill('good');
    for (const [kind, share] of Object.entries(LOAD.shares) as [Kind, number][]) {
      for (let left = Math.round(share * stratum); left > 0;) {
        const at = random.below(stratum);
        const rank = kinds.length + at + 1;
        if (ofStratum[at] !== 'good' || rank <= LOAD.wellBehavedRanks || rank === LOAD.burst.rank) continue;
        ofStratum[at] = kind;
        left--;
      }
    }
    kinds.push(...ofStratum);
  }
  return kinds;
}

function drawMedianMs(random: Random): number {
  const { medianMsMin, medianMsMax } = RECEIVERS;
  return medianMsMin * (medianMsMax / medianMsMin) ** random.uniform();
}

/** Places merchants on shards so that all have about the same rate: the largest first, each where there is the least. */
export function placeOnShards(merchants: readonly Merchant[], shards: number): Merchant[][] {
  const placed = Array.from({ length: shards }, () => ({ eventsPerSecond: 0, merchants: [] as Merchant[] }));
  for (const merchant of merchants) {
    const emptiest = placed.reduce((least, shard) =>
      shard.eventsPerSecond < least.eventsPerSecond ? shard : least,
    );
    emptiest.merchants.push(merchant);
    emptiest.eventsPerSecond += merchant.eventsPerSecond;
  }
  return placed.map((shard) => shard.merchants);
}

export interface Answer {
  readonly durationMs: number;
  readonly isSuccess: boolean;
}

/** What a request to a receiver comes to. */
export function drawAnswer(random: Random, kind: Kind, medianMs: number): Answer {
  switch (kind) {
    case 'good':
      return { durationMs: drawQuickMs(random, medianMs), isSuccess: true };
    case 'flaky':
      return {
        durationMs: drawQuickMs(random, medianMs),
        isSuccess: random.uniform() >= RECEIVERS.flakyFailures,
      };
    case 'slow':
      return {
        durationMs: RECEIVERS.slowMsMin + random.uniform() * (RECEIVERS.slowMsMax - RECEIVERS.slowMsMin),
        isSuccess: true,
      };
    case 'hanging':
      return { durationMs: RECEIVERS.timeoutMs, isSuccess: false };
    case 'dead':
      return { durationMs: RECEIVERS.deadMs, isSuccess: false };
  }
}

function drawQuickMs(random: Random, medianMs: number): number {
  return Math.min(random.logNormal(medianMs, RECEIVERS.sigma), RECEIVERS.timeoutMs);
}
