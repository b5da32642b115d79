import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ApiError } from './api-error.js';
import { ANSWER_HEADERS } from './security-headers.js';

/** The one error shape, as it goes on the wire. */
export interface ErrorBody {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly data: unknown;
  readonly request_id: string;
}

function errorBody(error: ApiError, requestId: string): ErrorBody {
  return {
    status: error.status,
    code: error.code,
    message: error.message,
    data: error.data ?? null,
    request_id: requestId,
  };
}

/** Sends an error unless something has gone out already. */
export function sendError(error: ApiError, request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent) return;
  // Fastify would close the connection on a body that it has not read. A client that is still writing it would then
  // find a broken pipe and never see the 413; Node reads the announced rest and drops it. Chunks announce no end.
  if (error.status === 413 && request.headers['content-length'] !== undefined) {
    void reply.removeHeader('connection');
  }
  void reply
    .code(error.status)
    .headers({
      ...ANSWER_HEADERS,
      ...error.headers,
      'x-request-id': request.id,
      'content-type': 'application/json; charset=utf-8',
    })
    .send(JSON.stringify(errorBody(error, request.id)));
}
