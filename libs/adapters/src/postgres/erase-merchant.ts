import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { isFenced, isInFlight } from './erasure-fence.js';
import { ERASURE_STEPS } from './erasure-steps.js';

/** How far one call has brought the erasure of one merchant. */
export type ErasureProgress =
  /** Statements that began before it, or attempts in flight, have still to end. */
  | { readonly kind: 'waiting'; readonly for: 'statements' | 'attempts' }
  /** Another worker is at it. */
  | { readonly kind: 'elsewhere' }
  /** There is more to do: the step it is at. */
  | { readonly kind: 'removing'; readonly step: string; readonly rowsRemoved: number }
  | { readonly kind: 'erased'; readonly rowsRemoved: number };

/** The merchants that are being erased, the first asked for first. */
export async function findErasures(db: Statements): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT merchant_id AS id FROM merchant_erasures ORDER BY requested_at LIMIT ${ERASURES_AT_ONCE_MAX}`;
  return rows.map(({ id }) => id);
}

/**
 * Goes on erasing a merchant while `mayGoOn` says so. Each batch is a short transaction that holds the job's row, so any
 * number of workers may call this, one batch of a merchant is done at a time, and whoever is killed leaves nothing behind
 * but the rows that the next batch finds. Nothing new can appear once the fence is passed, so a step that found nothing is
 * done for good.
 */
export async function eraseMerchant(
  db: Database,
  merchantId: string,
  mayGoOn: () => boolean,
): Promise<ErasureProgress> {
  if (!(await isFenced(db, merchantId))) return { kind: 'waiting', for: 'statements' };
  if (await isInFlight(db, merchantId)) return { kind: 'waiting', for: 'attempts' };
  let progress: ErasureProgress;
  let at = 0;
  do {
    progress = await withDeadlockRetry(() => eraseBatch(db, merchantId, at));
    if (progress.kind === 'removing') at = stepNumber(progress.step);
  } while (progress.kind === 'removing' && mayGoOn());
  return progress;
}

function stepNumber(name: string): number {
  return ERASURE_STEPS.findIndex((step) => step.name === name);
}

/** @param firstStep the steps before it are done */
function eraseBatch(db: Database, merchantId: string, firstStep: number): Promise<ErasureProgress> {
  return db.$transaction(
    async (tx): Promise<ErasureProgress> => {
      const [job] = await tx.$queryRaw<{ rowsRemoved: bigint }[]>`
        SELECT rows_removed AS "rowsRemoved" FROM merchant_erasures
        WHERE merchant_id = ${merchantId}::uuid FOR UPDATE SKIP LOCKED`;
      if (job === undefined) return { kind: 'elsewhere' };
      for (const step of ERASURE_STEPS.slice(firstStep)) {
        const removed = await step.run(tx, merchantId, ROWS_PER_BATCH_MAX);
        if (removed === 0) continue;
        await tx.$executeRaw`
          UPDATE merchant_erasures SET rows_removed = rows_removed + ${removed} WHERE merchant_id = ${merchantId}::uuid`;
        return { kind: 'removing', step: step.name, rowsRemoved: Number(job.rowsRemoved) + removed };
      }
      await tx.$executeRaw`DELETE FROM merchant_erasures WHERE merchant_id = ${merchantId}::uuid`;
      // Its references make this fail, and the batch with it, while anything is left that a step should have removed.
      await tx.$executeRaw`DELETE FROM merchants WHERE id = ${merchantId}::uuid`;
      return { kind: 'erased', rowsRemoved: Number(job.rowsRemoved) };
    },
    { timeout: BATCH_TIMEOUT_MS },
  );
}

/** Some milliseconds of locks and of write-ahead log; autovacuum and everybody's traffic keep pace with that. */
const ROWS_PER_BATCH_MAX = 1_000;
/** Several look-ups over some dozens of partitions, on a machine that is busy with traffic. */
const BATCH_TIMEOUT_MS = 15_000;
/** More of them wait for the next look. */
const ERASURES_AT_ONCE_MAX = 100;
