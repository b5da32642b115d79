import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { catchError, from, type Observable } from 'rxjs';
import { KeyDirectory } from '#adapters/postgres/api-keys.js';
import { CONFIRMS_KEY } from './decorators.js';
import { FailedAuthentication } from './failed-authentication.js';
import { PrincipalCache } from './principal-cache.js';
import { principalOf } from './principal.js';

/**
 * A handler that confirms its key does so late, in its transaction. A request that fails before that is looked up here,
 * so that a dead key is told 401 and not what is wrong with its request.
 */
@Injectable()
export class ConfirmKeyInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly keys: KeyDirectory,
    private readonly cache: PrincipalCache,
    private readonly failures: FailedAuthentication,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (this.reflector.get<boolean | undefined>(CONFIRMS_KEY, context.getHandler()) !== true)
      return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    return next.handle().pipe(catchError((error: unknown) => from(this.#judge(error, request))));
  }

  async #judge(error: unknown, request: FastifyRequest): Promise<never> {
    const { keyHash } = principalOf(request);
    this.cache.forget(keyHash);
    const live = await this.keys.find(keyHash);
    if (live === null) throw this.failures.wrong(request);
    throw error;
  }
}
