import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { CHUNK_COLUMNS, withDetails } from '#adapters/postgres/delivery-log.js';
import { type DeliveryFilter, listWalks } from '#adapters/postgres/delivery-log-page.js';
import { SEARCH_LIMITS } from '#adapters/postgres/delivery-log-walk.js';
import type { DeliveryStatus, Outcome } from '#domain/attempt-outcome.js';
import { parseId } from '#domain/ids.js';
import { DATA_PARENT } from './run.js';
import type { QueryTimes } from './scale-calls.js';

const FILE = join(DATA_PARENT, 'scale-plans.txt');
/** The API's default and one more, by which it knows of a next page. */
const ROWS = 51;

/**
 * Writes how PostgreSQL runs the slowest call of each list of deliveries, the first chunk of each way that it goes, because the
 * data are gone afterwards.
 *
 * @returns the file
 */
export async function writePlans(database: pg.Client, slow: readonly QueryTimes[]): Promise<string> {
  const plans: string[] = [];
  for (const { name, slowest } of slow) {
    plans.push(`${name}: GET ${slowest}`, ...(await planOf(database, slowest)), '');
  }
  await writeFile(FILE, plans.join('\n'));
  return FILE;
}

async function planOf(database: pg.Client, path: string): Promise<string[]> {
  const { pathname, searchParams } = new URL(path, 'http://localhost');
  const webhookId = /^\/v1\/webhooks\/([^/]+)\/deliveries$/.exec(pathname)?.[1];
  if (webhookId === undefined && pathname !== '/v1/deliveries') return ['not a list of deliveries'];
  const text = (name: string): string | undefined => searchParams.get(name) ?? undefined;
  const time = (name: string): number | undefined =>
    text(name) === undefined ? undefined : Date.parse(text(name) ?? '');
  const eventId = text('event_id');
  const filter: DeliveryFilter = {
    merchantId: uuidOf('mrc', text('merchant_id')),
    endpointId: uuidOf('wh', webhookId),
    status: text('status') as DeliveryStatus | undefined,
    outcome: text('outcome') as Outcome | undefined,
    statusCode: text('status_code') === undefined ? undefined : Number(text('status_code')),
    eventType: text('event_type'),
    eventIds: eventId === undefined ? undefined : [uuidOf('evt', eventId) ?? ''].filter((id) => id !== ''),
    createdAfterMs: time('created_after'),
    createdBeforeMs: time('created_before'),
  };
  const rowsMax = text('limit') === undefined ? ROWS : Number(text('limit')) + 1;
  const page = { beforeId: lastIdOf(text('cursor')), rowsMax };
  const chunks = listWalks(filter).flatMap((walk) => walk.chunk(page, SEARCH_LIMITS.chunkRows) ?? []);
  if (chunks.length === 0) return ['answered without a statement'];
  const lines: string[] = [];
  for (const chunk of chunks) {
    const { text: sql, values } = withDetails(chunk, filter.merchantId, CHUNK_COLUMNS);
    const { rows } = await database.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN (ANALYZE, BUFFERS) ${sql}`,
      values,
    );
    lines.push(...rows.map((row) => row['QUERY PLAN']).filter((line) => !line.includes('never executed')));
  }
  return lines;
}

function uuidOf(prefix: 'mrc' | 'wh' | 'evt', id: string | undefined): string | undefined {
  return id === undefined ? undefined : (parseId(prefix, id) ?? undefined);
}

/** A cursor begins with the id of the last row. */
function lastIdOf(cursor: string | undefined): string | null {
  if (cursor === undefined) return null;
  const hex = Buffer.from(cursor, 'base64url').toString('hex', 0, 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
