import type { ListWalk, PageRequest } from './delivery-log-page.js';
import type { Prisma } from './generated/client.js';

export interface SearchLimits {
  /** What the first statement of each way looks at, at most. */
  readonly chunkRows: number;
  /** After this long no further statement is begun. */
  readonly budgetMs: number;
}

/**
 * What has fewer rows to look at is always searched to its end. When each of them has to be read from disk, this many are still
 * looked at in the time that a list may take.
 */
const CHUNK_ROWS = 200;

/**
 * A third of the 50 ms in which a list is to answer with ten million deliveries: the last chunk and the answer come on top, and the
 * disk may be at work for others.
 */
const BUDGET_MS = 18;

/**
 * The chunk after one that took less than this share of the budget is twice as large: from memory, looking at some hundred rows
 * takes a fraction of what a statement costs by itself.
 */
const QUICK_SHARE = 1 / 3;

/** Of a row that has to be read from disk. What comes next is older, and so may be, though all was in memory so far. */
const COLD_ROW_MS = 0.08;

/** How far over the budget a chunk of nothing but such rows may go. */
const OVERTIME_MS = 7;

export const SEARCH_LIMITS: SearchLimits = { chunkRows: CHUNK_ROWS, budgetMs: BUDGET_MS };

/** What a search has found by now. */
export interface FoundRows<Row> {
  readonly rows: readonly Row[];
  /**
   * Id of the last row that was looked at, when time was over before the page was full: whatever fits and is newer is among the
   * rows. Null when the page is full, or holds all there is.
   */
  readonly searchedToId: string | null;
}

/** Of the answer to a {@link ListWalk.chunk}. */
export type ChunkRow<Row> = Row & { readonly fits: boolean; readonly isChunkEnd: boolean };

interface Walker<Row> {
  readonly walk: ListWalk;
  readonly rows: Row[];
  /** Of its next chunk. */
  chunkRows: number;
  /** Id of the last row that it has looked at; null before the first. */
  frontierId: string | null;
}

/**
 * Goes all ways at once, a chunk each in turn, because any of them may be by far the shortest. The first that has filled
 * the page, or come to its end, has the answer. When none has in time, the one that has got furthest answers what it has found
 * so far. Every call gets at least one chunk further.
 */
export async function walkAll<Row extends { readonly id: string }>(
  walks: readonly ListWalk[],
  page: PageRequest,
  { chunkRows, budgetMs }: SearchLimits,
  read: (query: Prisma.Sql) => Promise<readonly ChunkRow<Row>[]>,
): Promise<FoundRows<Row>> {
  const walkers = walks.map((walk): Walker<Row> => ({ walk, rows: [], chunkRows, frontierId: null }));
  let nowMs = performance.now();
  const endMs = nowMs + budgetMs;
  while (walkers.length > 0) {
    for (const walker of walkers) {
      const isDone = await advance(walker, page, read);
      if (isDone) return { rows: walker.rows, searchedToId: null };
      const startedMs = nowMs;
      nowMs = performance.now();
      if (nowMs >= endMs) return furthest(walkers);
      const wanted = walker.chunkRows * (nowMs - startedMs < budgetMs * QUICK_SHARE ? 2 : 1);
      walker.chunkRows = Math.min(wanted, Math.ceil((endMs - nowMs + OVERTIME_MS) / COLD_ROW_MS));
    }
  }
  return { rows: [], searchedToId: null };
}

/** Whether its rows fill the page or are all there is. */
async function advance<Row extends { readonly id: string }>(
  walker: Walker<Row>,
  page: PageRequest,
  read: (query: Prisma.Sql) => Promise<readonly ChunkRow<Row>[]>,
): Promise<boolean> {
  const rowsMax = page.rowsMax - walker.rows.length;
  const query = walker.walk.chunk(
    { beforeId: walker.frontierId ?? page.beforeId, rowsMax },
    walker.chunkRows,
  );
  if (query === null) return true;
  const answered = await read(query);
  walker.rows.push(...answered.filter(({ fits }) => fits).map(plainRow));
  const last = answered.at(-1);
  if (walker.rows.length >= page.rowsMax || last?.isChunkEnd !== true) return true;
  walker.frontierId = last.id;
  return false;
}

function plainRow<Row>({ fits: _fits, isChunkEnd: _isChunkEnd, ...row }: ChunkRow<Row>): Row {
  return row as Row;
}

/** Of walkers of which at least one has gone somewhere. */
function furthest<Row>(walkers: readonly Walker<Row>[]): FoundRows<Row> {
  const [first] = walkers
    .flatMap(({ rows, frontierId }) => (frontierId === null ? [] : [{ rows, searchedToId: frontierId }]))
    .toSorted((a, b) => (a.searchedToId < b.searchedToId ? -1 : 1));
  if (first === undefined) throw new Error('a search has looked at nothing');
  return first;
}
