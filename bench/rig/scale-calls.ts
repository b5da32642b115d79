import { Pool } from 'undici';
import { type Distribution, distributionOf } from './distribution.js';
import { type LogQuery, type Scope, SCOPES } from './scale-queries.js';

export interface QueryTimes extends Distribution {
  readonly name: string;
  readonly scope: Scope | null;
  /** Of the answers; null where an answer is no list. */
  readonly rows_median: number | null;
  /** Answered 5xx, as a statement is that takes longer than the API lets it. */
  readonly unanswered: number;
  /** The call that took longest, and how long it took again when all calls were made: in the middle of {@link AGAIN_CALLS}. */
  readonly slowest: string;
  readonly slowest_again_ms: number;
}

/** Code is compiled, and statements are prepared. */
const WARM_UP_CALLS = 5;
/** What is slow by itself is slow again; what was slow by other work, or by a first look at the disk, is not. */
const AGAIN_CALLS = 5;

interface Call {
  readonly path: string;
  readonly ms: number;
  readonly isAnswered: boolean;
  /** Null of an answer that is no list. */
  readonly rows: number | null;
}

/**
 * Calls every query so many times, one call at a time. They take turns, so that what else happens on the machine for a second
 * is no one query's.
 */
export async function timeQueries(
  api: { readonly url: string; readonly platformKey: string },
  queries: readonly LogQuery[],
  calls: number,
  signal: AbortSignal,
): Promise<QueryTimes[]> {
  await using parts = new AsyncDisposableStack();
  const pool = new Pool(api.url, { connections: 1, pipelining: 1, allowH2: false });
  parts.defer(() => pool.destroy());
  const headers = { authorization: `Bearer ${api.platformKey}` };
  const call = async ({ status, learn }: LogQuery, path: string): Promise<Call> => {
    signal.throwIfAborted();
    const startedMs = performance.now();
    const answer = await pool.request({ method: 'GET', path, headers });
    const text = await answer.body.text();
    const ms = performance.now() - startedMs;
    if (answer.statusCode >= 500) return { path, ms, isAnswered: false, rows: null };
    if (answer.statusCode !== status)
      throw new Error(`GET ${path} was answered ${answer.statusCode} ${text}`);
    const body = JSON.parse(text) as Answer;
    learn?.(body);
    return { path, ms, isAnswered: true, rows: body.data?.length ?? null };
  };
  const timed = queries.map((query) => ({ query, made: [] as Call[] }));
  for (let turn = -Math.min(WARM_UP_CALLS, calls); turn < calls; turn += 1) {
    for (const { query, made } of timed) {
      const latest = await call(query, query.path());
      if (turn >= 0) made.push(latest);
    }
  }
  const times: QueryTimes[] = [];
  for (const { query, made } of timed) {
    const [slowest] = made.toSorted((a, b) => b.ms - a.ms) as [Call];
    const again: number[] = [];
    while (again.length < AGAIN_CALLS) again.push((await call(query, slowest.path)).ms);
    times.push({
      name: query.name,
      scope: query.scope,
      rows_median: middle(made.flatMap(({ rows }) => (rows === null ? [] : [rows]))) ?? null,
      unanswered: made.filter(({ isAnswered }) => !isAnswered).length,
      ...distributionOf(made.map(({ ms }) => ms)),
      slowest: slowest.path,
      slowest_again_ms: Math.round((middle(again) ?? Number.NaN) * 100) / 100,
    });
  }
  return times;
}

interface Answer {
  readonly data?: readonly unknown[];
  readonly next_cursor?: string | null;
}

function middle(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

const NAME_WIDTH = 64;
const TIMES_WIDTH = 26;

/** A line a query, with its percentiles in each scope that it has, in milliseconds. */
export function tableOf(times: readonly QueryTimes[]): string[] {
  const say = ({ p50_ms: p50, p95_ms: p95, p99_ms: p99 }: Distribution): string =>
    [p50, p95, p99].map((ms) => ms.toFixed(1).padStart(7)).join(' ');
  const head = `${'p50, p95, p99 in ms'.padEnd(NAME_WIDTH)}${SCOPES.map((scope) => scope.padStart(TIMES_WIDTH)).join('')}`;
  const names = [...new Set(times.map(({ name }) => name))];
  return [
    head,
    ...names.map((name) => {
      const ofName = times.filter((time) => time.name === name);
      const columns = SCOPES.map((scope) =>
        ofName.find((time) => time.scope === scope || (time.scope === null && scope === 'webhook')),
      );
      return `${name.padEnd(NAME_WIDTH)}${columns.map((time) => (time === undefined ? '' : say(time)).padStart(TIMES_WIDTH)).join('')}`.trimEnd();
    }),
  ];
}
