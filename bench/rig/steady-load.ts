import { setTimeout as delay } from 'node:timers/promises';
import { ARRIVAL_TIMEOUT_MS, type Arrivals } from './arrivals.js';
import { type Distribution, distributionOf } from './distribution.js';
import type { Producer } from './producer.js';
import { USUAL_DATA, USUAL_TYPE } from './usual-event.js';

export interface SteadyLoad {
  readonly producer: Producer;
  readonly arrivals: Arrivals;
  /** Whose one endpoint `arrivals` is. */
  readonly merchantId: string;
  readonly eventsPerSecond: number;
  readonly signal: AbortSignal;
}

/** One event: when it was sent, after the load began, and how long after that it arrived. */
export interface Receipt {
  readonly atSeconds: number;
  /** {@link ARRIVAL_TIMEOUT_MS} for one that had not come by then. */
  readonly receiptMs: number;
  readonly isMissed: boolean;
}

/**
 * Sends events at an even rate that does not give way: none waits for the one before it, so a slow second is seen by
 * every event that falls into it.
 */
export async function sendSteadily(load: SteadyLoad, seconds: number): Promise<readonly Receipt[]> {
  const startedMs = performance.now();
  const receipts: Promise<Receipt>[] = [];
  for (let sent = 0; sent < load.eventsPerSecond * seconds; sent += 1) {
    const waitMs = startedMs + (sent * 1_000) / load.eventsPerSecond - performance.now();
    if (waitMs > 0) await delay(waitMs, undefined, { signal: load.signal });
    const receipt = sendOne(load, startedMs);
    // One that fails is told by the wait for all of them.
    receipt.catch(() => undefined);
    receipts.push(receipt);
  }
  return Promise.all(receipts);
}

async function sendOne({ producer, arrivals, merchantId }: SteadyLoad, startedMs: number): Promise<Receipt> {
  const event = { merchant_id: merchantId, type: USUAL_TYPE, data: USUAL_DATA };
  const { answer, sentMs } = await producer.post('/v1/events', event);
  const atSeconds = (sentMs - startedMs) / 1_000;
  const arrivedMs = await arrivals.of(answer.id).catch(() => null);
  return arrivedMs === null
    ? { atSeconds, receiptMs: ARRIVAL_TIMEOUT_MS, isMissed: true }
    : { atSeconds, receiptMs: arrivedMs - sentMs, isMissed: false };
}

export function receiptDistribution(receipts: readonly Receipt[]): Distribution {
  return distributionOf(receipts.map(({ receiptMs }) => receiptMs));
}

export function missedOf(receipts: readonly Receipt[]): number {
  return receipts.filter(({ isMissed }) => isMissed).length;
}
