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

/** The schema of a page of a list, as a component of its own. */
export function pageOf<Row extends z.ZodType>(row: Row, id: string) {
  return z
    .object({
      data: z.array(row).meta({ description: 'Newest first.' }),
      next_cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one.' }),
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

/**
 * Runs a list's statement for the page that a query asks for.
 * @throws {ApiError} 422 for a cursor of another list
 */
export async function readPage<Row extends { readonly id: string }, View>(
  cursors: Cursors,
  list: ListIdentity,
  query: { readonly limit: number; readonly cursor?: string | undefined },
  rows: (page: PageRequest) => Promise<readonly Row[]>,
  view: (row: Row) => View,
): Promise<{ data: View[]; next_cursor: string | null }> {
  const beforeId = query.cursor === undefined ? null : cursors.read(list, query.cursor);
  const found = await rows({ beforeId, rowsMax: query.limit + 1 });
  const page = found.slice(0, query.limit);
  const last = page.at(-1);
  const hasMore = found.length > query.limit && last !== undefined;
  return { data: page.map(view), next_cursor: hasMore ? cursors.make(list, last.id) : null };
}
