import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';

export interface IdRange {
  readonly low: string;
  readonly high: string;
}

/**
 * The range of keys that ids lie in, widened to whole milliseconds so that it holds for an event and its deliveries
 * alike. A statement on a log table carries it because `id = ANY(…)` alone prunes no partition.
 */
export function idRange(ids: Iterable<string>): IdRange {
  let low: string | null = null;
  let high: string | null = null;
  for (const id of ids) {
    if (low === null || id < low) low = id;
    if (high === null || id > high) high = id;
  }
  if (low === null || high === null) throw new RangeError('no ids, no range');
  return { low: uuidFloor(uuidTimeMs(low)), high: uuidCeil(uuidTimeMs(high)) };
}

/** Splits items by the day, and so the partition, of their ids: old deliveries are settled beside those of today. */
export function byDay<Item>(items: readonly Item[], idOf: (item: Item) => string): Item[][] {
  const days = new Map<number, Item[]>();
  for (const item of items) {
    const day = Math.floor(uuidTimeMs(idOf(item)) / DAY_MS);
    const list = days.get(day);
    if (list === undefined) days.set(day, [item]);
    else list.push(item);
  }
  return [...days.values()];
}

export const DAY_MS = 86_400_000;
