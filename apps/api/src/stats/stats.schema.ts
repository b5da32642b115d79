import * as z from 'zod';
import type { StatsRow } from '#adapters/postgres/delivery-stats.js';
import { type Outcome, OUTCOMES } from '#domain/attempt-outcome.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { type BucketCount, latencyQuantileMs } from '#domain/latency-histogram.js';
import { parseWindowMs, type StatsWindow } from '#domain/stats-window.js';
import { idOf, instant } from '../http/fields.js';

export const statsQuery = z.strictObject({
  window: z
    .string()
    .refine((text) => parseWindowMs(text) !== null, 'must be a number of hours or days from 1h to 30d, such as 24h')
    .default('24h')
    .meta({
      description: 'A number of hours or days up to now, from `1h` to `30d`.',
      pattern: '^[1-9][0-9]{0,2}[hd]$',
      examples: ['1h', '6h', '24h', '7d', '30d'],
    }),
  merchant_id: z.string().optional().meta({ description: 'For platform keys.' }),
});
export type StatsQuery = z.infer<typeof statsQuery>;

const latency = z
  .object({ p50: z.int(), p95: z.int(), p99: z.int() })
  .nullable()
  .meta({
    description:
      'Milliseconds, within 6.25% (exact up to 15 ms), of attempts that were answered or timed out: `succeeded`, ' +
      '`http_error`, `redirect`, `invalid_response`, `timeout`. null when there were none.',
  });

const point = z.object({
  start: instant,
  attempts: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  latency_ms: latency,
});

export const statsView = z
  .object({
    webhook_id: idOf(ID_PREFIXES.endpoint),
    window: z.string(),
    from: instant.meta({ description: 'The start of the first step: at least the window ago.' }),
    to: instant.meta({ description: 'The end of the step that is under way, which is the last one.' }),
    attempts: z.int(),
    outcomes: z
      .object(Object.fromEntries(OUTCOMES.map((outcome) => [outcome, z.int()])) as Record<Outcome, z.ZodInt>)
      .meta({ description: 'How many attempts ended so.' }),
    success_rate: z
      .number()
      .nullable()
      .meta({ description: 'From 0 to 1; null when there was no attempt.', examples: [0.9987] }),
    latency_ms: latency,
    step_seconds: z.int().meta({
      description:
        'The length of a step of the series: 300 for windows of up to 15 hours, 900 up to 45 hours, 3600 up to 180 hours, ' +
        '21600 beyond. Steps begin at multiples of it, UTC.',
    }),
    series: z.array(point).meta({ description: 'Every step from `from` to `to`, those without attempts too.' }),
  })
  .meta({ id: 'WebhookStats' });
export type StatsView = z.infer<typeof statsView>;

/** Of the others no answer was waited for, so that how long they took says nothing of the receiver. */
const TIMED_OUTCOMES: ReadonlySet<Outcome> = new Set([
  'succeeded',
  'http_error',
  'redirect',
  'invalid_response',
  'timeout',
] satisfies Outcome[]);

export function viewStats(
  endpointId: string,
  window: string,
  { fromMs, toMs, stepMs }: StatsWindow,
  rows: readonly StatsRow[],
): StatsView {
  const byStep = Map.groupBy(rows, ({ stepStart }) => stepStart.getTime());
  const total = summarize(rows);
  const steps = Array.from({ length: (toMs - fromMs) / stepMs }, (_, index) => fromMs + index * stepMs);
  return {
    webhook_id: formatId(ID_PREFIXES.endpoint, endpointId),
    window,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    attempts: total.attempts,
    outcomes: countOutcomes(rows),
    success_rate: total.attempts === 0 ? null : total.succeeded / total.attempts,
    latency_ms: total.latency_ms,
    step_seconds: stepMs / 1_000,
    series: steps.map((startMs) => ({
      start: new Date(startMs).toISOString(),
      ...summarize(byStep.get(startMs) ?? []),
    })),
  };
}

function summarize(rows: readonly StatsRow[]): Omit<z.infer<typeof point>, 'start'> {
  const attempts = sum(rows);
  const succeeded = sum(rows.filter(({ outcome }) => outcome === 'succeeded'));
  const timed = rows.filter(({ outcome }) => TIMED_OUTCOMES.has(outcome));
  return { attempts, succeeded, failed: attempts - succeeded, latency_ms: quantiles(timed) };
}

function quantiles(counts: readonly BucketCount[]): StatsView['latency_ms'] {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => latencyQuantileMs(counts, q));
  return p50 == null || p95 == null || p99 == null ? null : { p50, p95, p99 };
}

function countOutcomes(rows: readonly StatsRow[]): StatsView['outcomes'] {
  const counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  for (const { outcome, count } of rows) counts[outcome] += count;
  return counts;
}

function sum(rows: readonly StatsRow[]): number {
  return rows.reduce((total, { count }) => total + count, 0);
}
