import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { KeyDirectory, type Principal, type Scope } from '#adapters/postgres/api-keys.js';
import { hashApiKey, isPlausibleApiKey } from '#adapters/secrets/api-key-text.js';
import { ApiError } from '../http/api-error.js';
import { stateOf } from '../http/request-state.js';
import { CONFIRMS_KEY, PUBLIC, SCOPES } from './decorators.js';
import { PrincipalCache } from './principal-cache.js';

/** RFC 9110, 11.4: the scheme's name in any case, then the key. */
const BEARER = /^bearer +(\S(?:.*\S)?) *$/i;

/** 401 unless the request carries a live key. */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly keys: KeyDirectory,
    private readonly cache: PrincipalCache,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, route) === true) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const key = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (key === undefined || !isPlausibleApiKey(key)) throw unauthenticated();
    const keyHash = hashApiKey(key);
    const cached = this.reflector.get<boolean | undefined>(CONFIRMS_KEY, context.getHandler())
      ? this.#cached(keyHash, this.reflector.getAllAndOverride<readonly Scope[] | undefined>(SCOPES, route))
      : undefined;
    const principal = cached ?? (await this.keys.find(keyHash));
    if (principal === null) throw unauthenticated();
    if (cached === undefined) this.cache.remember(principal);
    stateOf(request).principal = principal;
    return true;
  }

  /** Only one that may make the call: a refusal must say whether the key is dead or lacks the scope. */
  #cached(keyHash: Uint8Array, scopes: readonly Scope[] = []): Principal | undefined {
    const principal = this.cache.get(keyHash);
    return principal && scopes.every((scope) => principal.scopes.includes(scope)) ? principal : undefined;
  }
}

export function unauthenticated(): ApiError {
  return new ApiError('unauthenticated', undefined, null, { 'www-authenticate': 'Bearer' });
}
