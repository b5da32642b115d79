import { Controller, type DynamicModule, Get, Inject, Module, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { Registry } from 'prom-client';
import { readiness, type ReadinessCheck } from '#observability/readiness.js';

const METRICS = Symbol('PROBE_METRICS');
const CHECKS = Symbol('PROBE_CHECKS');

/** What an orchestrator asks a process that serves nothing else. */
@Controller()
class ProbeController {
  constructor(
    @Inject(METRICS) private readonly metrics: Registry,
    @Inject(CHECKS) private readonly checks: readonly ReadinessCheck[],
  ) {}

  @Get('healthz')
  health() {
    return { status: 'ok' };
  }

  @Get('readyz')
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const { ready, checks } = await readiness(this.checks);
    if (!ready) void reply.code(503).header('retry-after', '1');
    return { status: ready ? 'ready' : 'unavailable', checks };
  }

  @Get('metrics')
  expose(@Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    void reply.type(this.metrics.contentType);
    return this.metrics.metrics();
  }
}

@Module({})
export class ProbeModule {
  static register(options: {
    readonly metrics: Registry;
    readonly readinessChecks: readonly ReadinessCheck[];
  }): DynamicModule {
    return {
      module: ProbeModule,
      controllers: [ProbeController],
      providers: [
        { provide: METRICS, useValue: options.metrics },
        { provide: CHECKS, useValue: options.readinessChecks },
      ],
    };
  }
}
