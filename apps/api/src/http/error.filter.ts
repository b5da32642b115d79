import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { KeyConfirmation } from '../auth/key-confirmation.js';
import { LOGGER } from '../tokens.js';
import { ApiError } from './api-error.js';
import { brokenBody, describeError } from './describe-error.js';
import { sendError } from './error-answer.js';
import { RouteTable } from './route-table.js';

/** Everything that is thrown anywhere behind the router ends here and leaves in the one error shape. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly routes: RouteTable,
    private readonly keys: KeyConfirmation,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    if (request.posthorn?.isKeyUnconfirmed === true)
      void this.keys.judge(thrown, request).then((judged) => this.#answer(judged, request, reply));
    else this.#answer(thrown, request, reply);
  }

  #answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const described = isCutOff(thrown, request) ? brokenBody() : describeError(thrown);
    const error = request.is404 && described.status !== 413 ? this.#noRoute(request) : described;
    if (error.status >= 500) {
      this.logger.error({ err: thrown, request_id: request.id }, 'request failed');
    }
    sendError(error, request, reply);
  }

  /** 405 where the path is there with another method, else 404. */
  #noRoute(request: FastifyRequest): ApiError {
    const allowed = this.routes.methodsOf(request.url);
    if (allowed.length === 0) return new ApiError('not_found', 'There is nothing at this path.');
    return new ApiError('method_not_allowed', `This path takes ${allowed.join(', ')}.`, null, {
      allow: allowed.join(', '),
    });
  }
}

/** The client has gone in the middle of its body: nobody's answer, and no failure of ours. */
function isCutOff(thrown: unknown, { raw }: FastifyRequest): boolean {
  return !raw.complete && thrown instanceof Error && 'code' in thrown && thrown.code === 'ECONNRESET';
}
