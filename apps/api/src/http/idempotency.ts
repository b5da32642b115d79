import { createHash } from 'node:crypto';
import {
  createParamDecorator,
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { map, type Observable } from 'rxjs';
import { PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { invalidRequest } from './api-error.js';
import { stateOf } from './request-state.js';

const IDEMPOTENCY_KEY_HEADER = 'idempotency-key';
/** As long as what others take, and short enough for an index. */
const IDEMPOTENCY_KEY_LENGTH_MAX = 255;
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;

/** What makes a POST repeatable; see `IdempotentPosts.run`. */
export interface IdempotentCall {
  /** The Idempotency-Key; null when the client sent none. */
  readonly key: string | null;
  /** SHA-256 of method, target and body bytes. */
  readonly contentHash: Buffer<ArrayBuffer>;
}

/** @throws {ApiError} 422 for a key that is not 1 to 255 printable ASCII characters */
export function idempotencyKeyOf(request: FastifyRequest): string | null {
  const key = request.headers[IDEMPOTENCY_KEY_HEADER];
  if (key === undefined) return null;
  if (typeof key === 'string' && IDEMPOTENCY_KEY.test(key)) return key;
  const message = `must be 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters`;
  throw invalidRequest([{ path: 'Idempotency-Key', message }]);
}

/** Sends what `IdempotentPosts` answered with the status that it had the first time. */
@Injectable()
class PostAnswerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      map((answer: unknown) => {
        if (!(answer instanceof PostAnswer)) return answer;
        void context.switchToHttp().getResponse<FastifyReply>().code(answer.status);
        return answer.body;
      }),
    );
  }
}

/** Handler parameter of a POST that goes through `IdempotentPosts`: what that answered is what the call answers. */
export const Idempotency = createParamDecorator(
  (_: unknown, context: ExecutionContext): IdempotentCall => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const contentHash = createHash('sha256')
      .update(`${request.method} ${request.url}\n`)
      .update(stateOf(request).bodyBytes)
      .digest();
    return { key: idempotencyKeyOf(request), contentHash };
  },
  [
    (target: object, key: string | symbol | undefined): void => {
      const descriptor = key === undefined ? undefined : Object.getOwnPropertyDescriptor(target, key);
      if (key !== undefined && descriptor) UseInterceptors(PostAnswerInterceptor)(target, key, descriptor);
    },
  ],
);
