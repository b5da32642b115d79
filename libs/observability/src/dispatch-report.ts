import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';
import type { DispatchEvents } from '#pipeline/dispatch.js';

/** Counts hints, and says that the queue is away once a minute and not once a request. */
export class DispatchReport implements DispatchEvents {
  private readonly hints: Counter<'result'>;
  private lastToldMs = -Infinity;

  constructor(
    private readonly logger: Logger,
    registry: Registry,
  ) {
    this.hints = counterOf(registry);
  }

  hinted(deliveries: number): void {
    this.hints.inc({ result: 'queued' }, deliveries);
  }

  hintsFailed(deliveries: number, error: unknown): void {
    this.hints.inc({ result: 'failed' }, deliveries);
    const nowMs = performance.now();
    if (nowMs - this.lastToldMs < TELL_AGAIN_MS) return;
    this.lastToldMs = nowMs;
    this.logger.warn({ err: error }, 'the queue takes no hints; due deliveries are found by the sweep');
  }
}

/** API and worker in one process share one registry, and so one counter. */
function counterOf(registry: Registry): Counter<'result'> {
  const name = 'posthorn_hints_total';
  const known = registry.getSingleMetric(name) as Counter<'result'> | undefined;
  return (
    known ??
    new Counter({
      name,
      help: 'Deliveries whose hint was handed to the queue, or could not be.',
      labelNames: ['result'],
      registers: [registry],
    })
  );
}

const TELL_AGAIN_MS = 60_000;
