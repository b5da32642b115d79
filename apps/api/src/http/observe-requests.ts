import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { requestDurations } from '#observability/metrics.js';
import { clientAddressOf } from './client-address.js';
import { stateOf } from './request-state.js';

/** Nothing that a healthy installation does takes this long; what does is worth a line. */
const SLOW_REQUEST_MS = 1_000;

/** One log line and one measurement a request. No bodies, no headers, no query: they may hold what is secret. */
export function observeRequests(fastify: FastifyInstance, logger: Logger, metrics: Registry): void {
  const durations = requestDurations(metrics);
  fastify.addHook('onResponse', (request, reply, done) => {
    const durationMs = performance.now() - stateOf(request).startedAtMs;
    const route = request.routeOptions.url ?? 'none';
    durations.observe({ method: request.method, route, status: reply.statusCode }, durationMs / 1_000);
    const isNotable = reply.statusCode >= 500 || durationMs >= SLOW_REQUEST_MS;
    const level = isNotable ? 'info' : 'debug';
    if (logger.isLevelEnabled(level))
      logger[level](requestLine(request, reply.statusCode, durationMs), 'request');
    done();
  });
}

function requestLine(request: FastifyRequest, status: number, durationMs: number): object {
  return {
    request_id: request.id,
    method: request.method,
    path: request.url.split('?', 1)[0],
    status,
    duration_ms: Math.round(durationMs),
    key_id: request.posthorn?.principal?.keyId,
    remote_address: clientAddressOf(request),
  };
}
