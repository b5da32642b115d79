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
        if (jobs.length > 0) await bounded(this.addAll(this.queues[lane], jobs));
      }),
    );
  }

  private async addAll(queue: Queue<HintJob>, jobs: readonly NewJob[]): Promise<void> {
    if (jobs.length > SINGLES_MAX) await queue.addBulk([...jobs]);
    else await Promise.all(jobs.map(({ name, data, opts }) => queue.add(name, data, opts)));
  }

  waiting(lane: Hint['lane']): Promise<number> {
    return bounded(this.queues[lane].getWaitingCount());
  }

  /** A Redis that is away is not told good-bye, and that is no error. */
  async close(): Promise<void> {
    await Promise.allSettled(Object.values(this.queues).map((queue) => queue.close()));
  }
}

/**
 * Up to so many jobs are added one by one, and most batches of hints are one or two. BullMQ's bulk add makes and drops two temporary
 * tables on PostgreSQL, some 5 ms whatever it adds, and on Redis a pipeline, which costs more than the commands in it while they are few.
 */
const SINGLES_MAX = 8;

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

type NewJob = ReturnType<typeof toJob>;

function toJob({ deliveryIds, hintNumber, delayMs }: Hint) {
  return {
    name: 'hint',
    data: { deliveryIds },
    // An id that exists in any state makes BullMQ ignore an add, so each hint has one that was never used before.
    opts: { jobId: `${deliveryIds[0]}-${hintNumber}`, ...(delayMs > 0 && { delay: delayMs }) },
  };
}
