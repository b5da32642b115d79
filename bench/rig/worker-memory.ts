import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerHeap } from './installation.js';
import { ThroughputRig } from './throughput-rig.js';

/** With it, some 2,500 a second fill every slot of the fast lane, and leave time to look at it. */
const FULL_RECEIVER_MS = 200;

export interface WorkerMemory {
  readonly heap: WorkerHeap;
  readonly in_flight: number;
  readonly worker_rss_bytes: number;
  readonly deliveries_per_second: number;
}

/** What a worker is resident with while its slots are full, with either heap. */
export async function measureMemory({
  merchants,
  seconds,
  signal,
}: {
  readonly merchants: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}): Promise<WorkerMemory[]> {
  const measured: WorkerMemory[] = [];
  for (const workerHeap of ['usual', 'small'] as const) {
    signal.throwIfAborted();
    await using parts = new AsyncDisposableStack();
    const rig = await ThroughputRig.start('redis', { receiverDelayMs: FULL_RECEIVER_MS, workerHeap });
    if (rig === null) return [];
    parts.defer(() => rig.stop());
    const merchantIds = await rig.addMerchants(merchants);
    const running = rig.pass(merchantIds, { seconds: 2 * seconds });
    let inFlight = 0;
    for (let looked = 0; looked < seconds; looked += 1) {
      await delay(1_000);
      inFlight = Math.max(inFlight, await rig.inFlight());
    }
    const { deliveriesPerSecond } = await running;
    const memory = {
      heap: workerHeap,
      in_flight: inFlight,
      worker_rss_bytes: rig.peakRss()['worker'] ?? 0,
      deliveries_per_second: Math.round(deliveriesPerSecond),
    };
    console.log(
      `worker's memory with up to ${inFlight} in flight, ${workerHeap} heap: ` +
        `${mib(memory.worker_rss_bytes)} MiB at ${memory.deliveries_per_second}/s`,
    );
    measured.push(memory);
  }
  return measured;
}

/** Mebibytes, without a fraction. */
export function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
