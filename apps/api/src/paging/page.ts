import * as z from 'zod';
import type { Cursors, ListIdentity } from './cursors.js';

const PAGE_ROWS_DEFAULT = 50;
const PAGE_ROWS_MAX = 200;

const DECIMAL = /^\d{1,9}$/;

/** The query of every list: spread into a strict object beside the list's filters. */
export const pageQuery = {
  limit: z
    .string()
    .refine((value) => isLimit(value), `must be a whole number from 1 to ${PAGE_ROWS_MAX}`)
    .transform(Number)
    .default(PAGE_ROWS_DEFAULT)
    .meta({
      type: 'integer',
      minimum: 1,
      maximum: PAGE_ROWS_MAX,
      default: PAGE_ROWS_DEFAULT,
      description: 'Rows a page.',
    }),
  cursor: z
    .string()
    .optional()
    .meta({ description: 'The `next_cursor` of the page before; leave it out for the first.' }),
} as const;

function isLimit(value: string): boolean {
  return DECIMAL.test(value) && Number(value) >= 1 && Number(value) <= PAGE_ROWS_MAX;
}

/** What to know of a list that is searched, for the descriptions of its calls. */
export const SEARCHED_PAGES =
  'A page may hold fewer than `limit`, or none, and still have a next one: it says what was found in the time of one call. ' +
  'Follow `next_cursor` until it is null.';

/** The schema of a page of a list, as a component of its own. */
export function pageOf<Row extends z.ZodType>(
  row: Row,
  id: string,
  nextPage = 'For the next page; null on the last one.',
) {
  return z
    .object({
      data: z.array(row).meta({ description: 'Newest first.' }),
      next_cursor: z.string().nullable().meta({ description: nextPage }),
    })
    .meta({ id });
}

/** What a list's statement is asked for. */
export interface PageRequest {
  /** UUID that all rows stand before; null: from the newest. */
  readonly beforeId: string | null;
  /** One more than the page holds: whether it comes tells whether there is a next page. */
  readonly rowsMax: number;
}

/** What a search of a list has come to; see `FoundRows` of the delivery log. */
export interface FoundPage<Row> {
  readonly rows: readonly Row[];
  /** UUID that the search goes on before, of a page that is not full and may not be the last; else null. */
  readonly searchedToId: string | null;
}

interface PageQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
}
interface Page<View> {
  data: View[];
  next_cursor: string | null;
}

/**
 * Runs a list's statement for the page that a query asks for.
 * @throws {ApiError} 422 for a cursor of another list
 */
export function readPage<Row extends { readonly id: string }, View>(
  cursors: Cursors,
  list: ListIdentity,
  query: PageQuery,
  rows: (page: PageRequest) => Promise<readonly Row[]>,
  view: (row: Row) => View,
): Promise<Page<View>> {
  const search = async (page: PageRequest): Promise<FoundPage<Row>> => ({
    rows: await rows(page),
    searchedToId: null,
  });
  return readSearchPage(cursors, list, query, search, view);
}

/**
 * The same of a list whose search may stop before the page is full: the next one goes on from there.
 * @throws {ApiError} 422 for a cursor of another list
 */
export async function readSearchPage<Row extends { readonly id: string }, View>(
  cursors: Cursors,
  list: ListIdentity,
  query: PageQuery,
  search: (page: PageRequest) => Promise<FoundPage<Row>>,
  view: (row: Row) => View,
): Promise<Page<View>> {
  const beforeId = query.cursor === undefined ? null : cursors.read(list, query.cursor);
  const { rows, searchedToId } = await search({ beforeId, rowsMax: query.limit + 1 });
  const page = rows.slice(0, query.limit);
  const nextId = rows.length > query.limit ? (page.at(-1)?.id ?? null) : searchedToId;
  return { data: page.map(view), next_cursor: nextId === null ? null : cursors.make(list, nextId) };
}
