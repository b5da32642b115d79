import type { Queue } from 'bullmq';
import type { Hint, HintQueue } from '#pipeline/hint-queue.js';
import { LANES } from '#pipeline/hint-queue.js';
import { openQueue, PRODUCER_TIMEOUT_MS, type QueueConnection } from './queue-connection.js';

/** What a job carries: ids, and nothing that PostgreSQL does not know better. */
export interface HintJob {
  readonly deliveryIds: readonly string[];
}

/** Hints as BullMQ jobs, one queue a lane. */
export class BullMqHintQueue implements HintQueue {
  private readonly queues: Readonly<Record<Hint['lane'], Queue<HintJob>>>;

  constructor(connection: QueueConnection) {
    this.queues = {
      fast: openQueue(connection, 'fast'),
      slow: openQueue(connection, 'slow'),
      suspect: openQueue(connection, 'suspect'),
    };
  }

  async add(hints: readonly Hint[]): Promise<void> {
    await Promise.all(
      LANES.map(async (lane) => {
        const jobs = hints.filter((hint) => hint.lane === lane).map(toJob);
        if (jobs.length > 0) await bounded(this.queues[lane].addBulk(jobs));
      }),
    );
  }

  waiting(lane: Hint['lane']): Promise<number> {
    return bounded(this.queues[lane].getWaitingCount());
  }

  /** A Redis that is away is not told good-bye, and that is no error. */
  async close(): Promise<void> {
    await Promise.allSettled(Object.values(this.queues).map((queue) => queue.close()));
  }
}

/** BullMQ waits for a connection that never came about as long as it takes; commands have a bound of their own. */
async function bounded<Result>(command: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('the queue does not answer')), PRODUCER_TIMEOUT_MS);
  try {
    return await Promise.race([command, late]);
  } finally {
    clearTimeout(timer);
    // What is given up may still fail, and nobody listens any more.
    command.catch(() => undefined);
  }
}

function toJob({ deliveryIds, hintNumber, delayMs }: Hint) {
  return {
    name: 'hint',
    data: { deliveryIds },
    // An id that exists in any state makes BullMQ ignore an add, so each hint has one that was never used before.
    opts: { jobId: `${deliveryIds[0]}-${hintNumber}`, ...(delayMs > 0 && { delay: delayMs }) },
  };
}
