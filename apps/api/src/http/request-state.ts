import type { FastifyRequest } from 'fastify';
import type { Principal } from '#adapters/postgres/api-keys.js';
import type { JsonDocument } from '#domain/raw-json.js';
import type { Admission } from '../auth/request-rate.js';

/** What the edge learns about a request on its way in. */
export interface RequestState {
  readonly startedAtMs: number;
  /** The content type as the client wrote it. */
  readonly contentType: string | undefined;
  principal: Principal | null;
  /** Whether the principal was remembered and its key has not been asked for yet. */
  isKeyUnconfirmed: boolean;
  /** Asked for while the key was looked up; null: not asked for yet. */
  admission: Promise<Admission> | null;
  /** What the resource guard found under the ids of the path. */
  loaded: unknown;
  /** The one parse of the body; null while there was none, or when the body is empty. */
  document: JsonDocument | null;
  /** The body as it came. */
  bodyBytes: Buffer;
}

declare module 'fastify' {
  interface FastifyRequest {
    posthorn: RequestState | null;
  }
}

export const NO_BODY = Buffer.alloc(0);

/** @throws {Error} when the request has not passed the first hook: a fault in the wiring */
export function stateOf(request: FastifyRequest): RequestState {
  if (request.posthorn === null) throw new Error('the request has no state yet');
  return request.posthorn;
}
