import { uuidFloor } from '#domain/ids.js';
import { DAY_MS } from './id-range.js';
import type { MaintenanceSession } from './maintenance-session.js';
import { LOG_TABLES, type LogTable, partitionDay } from './partitions.js';

export interface RemoveLimits {
  /** Partitions whose last moment is older than this go, Unix milliseconds of PostgreSQL's clock. */
  readonly beforeMs: number;
  readonly mayGoOn: () => boolean;
}

export interface PartitionsRemoved {
  /** Names. */
  readonly dropped: readonly string[];
  /** Names of those that are due and wait: deliveries of that day are still open. */
  readonly kept: readonly string[];
}

interface Partition {
  readonly table: LogTable;
  readonly name: string;
  readonly day: number;
  readonly state: 'attached' | 'detaching' | 'detached';
}

/**
 * Removes the days of the log that are over the retention: detaches a partition without stopping anybody (`CONCURRENTLY`),
 * forgets the producers' ids of its events, drops it. Killed between any two of these, or in the middle of one, the next run
 * goes on: what is half detached is finalized, what is detached is found by its name.
 *
 * A day of events and deliveries stays while one of its deliveries is open. To be called by one process at a time.
 */
export async function removeOldPartitions(
  session: MaintenanceSession,
  { beforeMs, mayGoOn }: RemoveLimits,
): Promise<PartitionsRemoved> {
  const dropped: string[] = [];
  const kept: string[] = [];
  for (const partition of await readPartitions(session)) {
    if (!mayGoOn()) break;
    // Half detached, it is missing from every list; only one of a table can be so, and another waits for it.
    if (partition.state === 'detaching') await finalize(session, partition);
    if ((partition.day + 1) * DAY_MS > beforeMs) continue;
    if (partition.state === 'attached') {
      if (await hasOpenDeliveries(session, partition)) {
        kept.push(partition.name);
        continue;
      }
      await session.query(`ALTER TABLE ${partition.table} DETACH PARTITION ${partition.name} CONCURRENTLY`);
    }
    if (partition.table === 'events' && !(await forgetEventKeys(session, partition.name, mayGoOn))) break;
    await session.query(`DROP TABLE ${partition.name}`);
    dropped.push(partition.name);
  }
  return { dropped, kept };
}

/**
 * Partitions as their names tell them, those half detached first. A table of such a name that is attached to nothing is
 * one that was detached and not dropped: they are made and attached in one transaction.
 */
async function readPartitions(session: MaintenanceSession): Promise<Partition[]> {
  const { rows } = await session.query<{ name: string; parent: string | null; is_pending: boolean }>(
    `SELECT c.relname::text AS name, i.inhparent::regclass::text AS parent,
            coalesce(i.inhdetachpending, false) AS is_pending
     FROM pg_class c
     LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
     WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('events'))
     ORDER BY is_pending DESC, name`,
  );
  return rows.flatMap(({ name, parent, is_pending: isPending }): Partition[] => {
    for (const table of LOG_TABLES) {
      const day = partitionDay(table, name);
      if (day === null || (parent !== null && parent !== table)) continue;
      return [
        { table, name, day, state: parent === null ? 'detached' : isPending ? 'detaching' : 'attached' },
      ];
    }
    return [];
  });
}

async function finalize(session: MaintenanceSession, { table, name }: Partition): Promise<void> {
  await session.query(`ALTER TABLE ${table} DETACH PARTITION ${name} FINALIZE`);
}

/** A delivery's id carries its event's millisecond, so both stand in the same day; attempts are of any later day. */
async function hasOpenDeliveries(session: MaintenanceSession, { table, day }: Partition): Promise<boolean> {
  if (table === 'attempts') return false;
  const { rows } = await session.query<{ is_any: boolean }>(
    'SELECT EXISTS (SELECT FROM open_deliveries WHERE delivery_id >= $1 AND delivery_id < $2) AS is_any',
    [uuidFloor(day * DAY_MS), uuidFloor((day + 1) * DAY_MS)],
  );
  return rows[0]?.is_any ?? false;
}

/** Producers' ids are remembered as long as their events. @returns false when it was told to stop before the end */
async function forgetEventKeys(
  session: MaintenanceSession,
  name: string,
  mayGoOn: () => boolean,
): Promise<boolean> {
  let after = uuidFloor(0);
  for (;;) {
    if (!mayGoOn()) return false;
    const { rows } = await session.query<{ last_id: string | null }>(
      `WITH gone AS (
         SELECT id, merchant_id, producer_id FROM ${name}
         WHERE id > $1 AND producer_id IS NOT NULL ORDER BY id LIMIT $2
       ), forgotten AS (
         DELETE FROM idempotency_keys k USING gone
         WHERE k.kind = 'event' AND k.key = gone.producer_id AND k.merchant_id = gone.merchant_id
           AND k.event_ids[1] = gone.id
       )
       SELECT max(id::text) AS last_id FROM gone`,
      [after, KEYS_PER_BATCH_MAX],
    );
    const lastId = rows[0]?.last_id ?? null;
    if (lastId === null) return true;
    after = lastId;
  }
}

/** Some tens of milliseconds a statement. */
const KEYS_PER_BATCH_MAX = 2_000;
