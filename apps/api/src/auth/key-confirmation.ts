import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { KeyDirectory } from '#adapters/postgres/api-keys.js';
import { FailedAuthentication } from './failed-authentication.js';
import { PrincipalCache } from './principal-cache.js';
import { principalOf } from './principal.js';

/**
 * A handler that confirms its key does so late, in its transaction. A request that fails before that is looked up here,
 * so that a dead key is told 401 and not what is wrong with its request.
 */
@Injectable()
export class KeyConfirmation {
  constructor(
    private readonly keys: KeyDirectory,
    private readonly cache: PrincipalCache,
    private readonly failures: FailedAuthentication,
  ) {}

  /** What the request is to be told: `error`, or that its key is dead, or that nobody can tell now. */
  async judge(error: unknown, request: FastifyRequest): Promise<unknown> {
    const { keyHash } = principalOf(request);
    this.cache.forget(keyHash);
    try {
      return (await this.keys.find(keyHash)) === null ? this.failures.wrong(request) : error;
    } catch (away) {
      return away;
    }
  }
}
