/** What a recovery is to open again, as it was asked for. */
export const RECOVERABLE_STATUSES = ['failed', 'cancelled', 'succeeded'] as const;
export type RecoverableStatus = (typeof RECOVERABLE_STATUSES)[number];

/** What recovering needs of the database. */
export interface RecoveryStore {
  /**
   * Takes the recovery that has waited longest, looks at the next deliveries of it, and opens those again that are to be,
   * in one transaction with its position and progress. Any number of workers may call it at once: each gets another one.
   * Null when none is running, or those that are wait for their rate.
   */
  recoverBatch(deliveriesMax: number): Promise<RecoveredBatch | null>;
}

export interface RecoveredBatch {
  readonly recoveryId: string;
  readonly reopened: number;
  /** `cancelled`: its endpoint was disabled or deleted meanwhile. */
  readonly status: 'running' | 'completed' | 'cancelled';
}

/** A row of the log that a batch looks at. */
export interface Candidate {
  readonly id: string;
  /** Whether it is one of those that the recovery asks for. */
  readonly isWanted: boolean;
}

/** Which of the deliveries that were looked at a batch takes, and up to where it has looked. */
export interface BatchPlan {
  readonly wanted: readonly string[];
  /** The last delivery that needs no further look; null: there was none. */
  readonly position: string | null;
  /** Whether nothing can be left behind it. */
  readonly isLast: boolean;
}

/**
 * @param candidates in the order of their ids
 * @param room how many may be opened now, by the rate
 * @param lookedFor how many candidates were asked for: fewer means that there are no more
 */
export function planBatch(candidates: readonly Candidate[], room: number, lookedFor: number): BatchPlan {
  const wanted: string[] = [];
  let position: string | null = null;
  for (const { id, isWanted } of candidates) {
    if (isWanted && wanted.length === room) return { wanted, position, isLast: false };
    if (isWanted) wanted.push(id);
    position = id;
  }
  return { wanted, position, isLast: candidates.length < lookedFor };
}

/** A rate's bucket holds a second's worth, so that a pause of the workers is not made up for by a burst. */
export function roomOf(tokens: number | null, deliveriesMax: number): number {
  return tokens === null ? deliveriesMax : Math.min(deliveriesMax, Math.floor(tokens));
}

/**
 * Rows of one transaction: some tens of milliseconds, and nothing of a recovery is ever in memory beyond them. What is
 * opened waits in PostgreSQL, and goes to the queue as any backlog does.
 */
export const RECOVERY_BATCH_MAX = 1_000;
