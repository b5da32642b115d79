import * as z from 'zod';
import type { OutcomeCounts } from '#adapters/postgres/delivery-stats.js';
import { type Outcome, OUTCOMES } from '#domain/attempt-outcome.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { LatencyHistogram } from '#domain/latency-histogram.js';
import { parseWindowMs, type StatsWindow } from '#domain/stats-window.js';
import { idOf, instant } from '../http/fields.js';

export const statsQuery = z.strictObject({
  window: z
    .string()
    .refine(
      (text) => parseWindowMs(text) !== null,
      'must be a number of hours or days from 1h to 30d, such as 24h',
    )
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
    series: z
      .array(point)
      .meta({ description: 'Every step from `from` to `to`, those without attempts too.' }),
  })
  .meta({ id: 'WebhookStats' });
export type StatsView = z.infer<typeof statsView>;

/** Of the others no answer was waited for, so that how long they took says nothing of the receiver. */
const TIMED_OUTCOMES = [
  'succeeded',
  'http_error',
  'redirect',
  'invalid_response',
  'timeout',
] as const satisfies readonly Outcome[];

export function viewStats(
  endpointId: string,
  window: string,
  { fromMs, toMs, stepMs }: StatsWindow,
  steps: readonly OutcomeCounts[],
): StatsView {
  const total = summarize(steps);
  const outcomes = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, count(steps, outcome)]));
  return {
    webhook_id: formatId(ID_PREFIXES.endpoint, endpointId),
    window,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    attempts: total.attempts,
    outcomes: outcomes as StatsView['outcomes'],
    success_rate: total.attempts === 0 ? null : total.succeeded / total.attempts,
    latency_ms: total.latency_ms,
    step_seconds: stepMs / 1_000,
    series: steps.map((step, index) => ({
      start: new Date(fromMs + index * stepMs).toISOString(),
      ...summarize([step]),
    })),
  };
}

function summarize(steps: readonly OutcomeCounts[]): Omit<z.infer<typeof point>, 'start'> {
  const attempts = OUTCOMES.reduce((sum, outcome) => sum + count(steps, outcome), 0);
  const succeeded = count(steps, 'succeeded');
  return { attempts, succeeded, failed: attempts - succeeded, latency_ms: quantiles(steps) };
}

function count(steps: readonly OutcomeCounts[], outcome: Outcome): number {
  return steps.reduce((sum, step) => sum + (step.get(outcome)?.total ?? 0), 0);
}

function quantiles(steps: readonly OutcomeCounts[]): StatsView['latency_ms'] {
  const all = new LatencyHistogram();
  for (const step of steps) {
    for (const outcome of TIMED_OUTCOMES) {
      const histogram = step.get(outcome);
      if (histogram !== undefined) all.addAll(histogram);
    }
  }
  const [p50, p95, p99] = all.quantilesMs([0.5, 0.95, 0.99]) ?? [];
  return p50 === undefined || p95 === undefined || p99 === undefined ? null : { p50, p95, p99 };
}
