import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { Registry } from 'prom-client';
import { ApiProduces } from '@nestjs/swagger';
import * as z from 'zod';
import { readiness, type ReadinessCheck } from '#observability/readiness.js';
import { Public } from '../auth/decorators.js';
import { ApiError } from '../http/api-error.js';
import { Operation } from '../openapi/operation.js';
import { METRICS, READINESS_CHECKS } from '../tokens.js';

const healthView = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });
const readyView = z
  .object({ status: z.literal('ready'), checks: z.record(z.string(), z.string()) })
  .meta({ id: 'Readiness' });

@Public()
@Controller()
export class HealthController {
  constructor(
    @Inject(METRICS) private readonly metrics: Registry,
    @Inject(READINESS_CHECKS) private readonly checks: readonly ReadinessCheck[],
  ) {}

  @Get('healthz')
  @Operation({
    id: 'getHealth',
    summary: 'Is the process alive?',
    status: 200,
    schema: healthView,
    isPublic: true,
  })
  health(): z.infer<typeof healthView> {
    return { status: 'ok' };
  }

  @Get('readyz')
  @Operation({
    id: 'getReadiness',
    summary: 'Can it serve?',
    description:
      'PostgreSQL is writable, its schema is current, and the log has partitions for today and tomorrow.',
    status: 200,
    schema: readyView,
    errors: ['unavailable'],
    isPublic: true,
  })
  async ready(): Promise<z.infer<typeof readyView>> {
    const { ready, checks } = await readiness(this.checks);
    if (!ready) throw new ApiError('unavailable', 'Not ready.', { checks }, { 'retry-after': '1' });
    return { status: 'ready', checks };
  }

  @Get('metrics')
  @ApiProduces('text/plain')
  @Operation({
    id: 'getMetrics',
    summary: 'Metrics for Prometheus',
    status: 200,
    schema: z.string(),
    isPublic: true,
  })
  async expose(@Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    void reply.type(this.metrics.contentType);
    return this.metrics.metrics();
  }
}
