import { collectDefaultMetrics, Histogram, Registry } from 'prom-client';

/** Metrics of one process: what Node itself tells, and what the parts of the process register. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** From a cached answer to a request that waited for the database as long as it may. */
const REQUEST_SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];

/** Durations of requests by method, route pattern (never the path: ids would make endless series) and status. */
export function requestDurations(registry: Registry): Histogram<'method' | 'route' | 'status'> {
  return new Histogram({
    name: 'posthorn_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last byte of its response.',
    labelNames: ['method', 'route', 'status'],
    buckets: REQUEST_SECONDS_BUCKETS,
    registers: [registry],
  });
}
