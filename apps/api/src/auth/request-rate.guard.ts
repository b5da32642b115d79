import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RefusalReport } from '#observability/refusal-report.js';
import { ApiError } from '../http/api-error.js';
import { stateOf } from '../http/request-state.js';
import { RequestRate } from './request-rate.js';

/** 429 when a merchant's key has used up its rate. Platform keys have none: the operator's backend is not held up. */
@Injectable()
export class RequestRateGuard implements CanActivate {
  constructor(
    private readonly rate: RequestRate,
    private readonly report: RefusalReport,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const { principal, admission: asked } = stateOf(http.getRequest<FastifyRequest>());
    if (typeof principal?.merchantId !== 'string') return true;
    const admission = await (asked ?? this.rate.admit(principal.keyId));
    if (admission.kind === 'unchecked') {
      this.report.unchecked(admission.cause);
      return true;
    }
    const { burst, perSecond } = this.rate;
    void http.getResponse<FastifyReply>().headers({
      'ratelimit-limit': burst,
      'ratelimit-remaining': admission.remaining,
      'ratelimit-reset': Math.ceil((burst - admission.remaining) / perSecond),
    });
    if (admission.kind === 'allowed') return true;
    this.report.refused('request_rate');
    throw new ApiError(
      'rate_limited',
      `The key has used up its rate of ${perSecond} requests a second.`,
      null,
      { 'retry-after': String(admission.retrySeconds) },
    );
  }
}
