import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { KeyDirectory, type Principal, type Scope } from '#adapters/postgres/api-keys.js';
import { hashApiKey, isPlausibleApiKey } from '#adapters/secrets/api-key-text.js';
import { stateOf } from '../http/request-state.js';
import { CONFIRMS_KEY, PUBLIC, SCOPES } from './decorators.js';
import { FailedAuthentication } from './failed-authentication.js';
import { KeyUseLog } from './key-use-log.js';
import { PrincipalCache } from './principal-cache.js';
import { RequestRate } from './request-rate.js';

/** RFC 9110, 11.4: the scheme's name in any case, then the key. */
const BEARER = /^bearer +(\S(?:.*\S)?) *$/i;

/** 401 unless the request carries a live key; 429 when too many wrong ones came from its address. */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly keys: KeyDirectory,
    private readonly cache: PrincipalCache,
    private readonly failures: FailedAuthentication,
    private readonly uses: KeyUseLog,
    private readonly rate: RequestRate,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, route) === true) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const key = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (key === undefined) throw this.failures.missing();
    if (!isPlausibleApiKey(key)) throw this.failures.wrong(request);
    const keyHash = hashApiKey(key);
    const cached = this.reflector.get<boolean | undefined>(CONFIRMS_KEY, context.getHandler())
      ? this.#cached(keyHash, this.reflector.getAllAndOverride<readonly Scope[] | undefined>(SCOPES, route))
      : undefined;
    const principal = cached ?? (await this.#find(keyHash, request));
    if (principal === null) throw this.failures.wrong(request);
    if (cached === undefined) this.cache.remember(principal);
    this.uses.note(principal.keyId);
    const state = stateOf(request);
    state.principal = principal;
    state.isKeyUnconfirmed = cached !== undefined;
    return true;
  }

  /** Only one that may make the call: a refusal must say whether the key is dead or lacks the scope. */
  #cached(keyHash: Uint8Array, scopes: readonly Scope[] = []): Principal | undefined {
    const principal = this.cache.get(keyHash);
    return principal && scopes.every((scope) => principal.scopes.includes(scope)) ? principal : undefined;
  }

  /** Right keys are served wherever they come from; only a stranger from where wrong ones come from waits its turn. */
  #find(keyHash: Uint8Array<ArrayBuffer>, request: FastifyRequest): Promise<Principal | null> {
    const known = this.cache.get(keyHash);
    if (known === undefined && this.failures.isSuspect(request)) return this.keys.findForSuspect(keyHash);
    // The two questions go out together, so that the rate adds no wait of its own; of a dead key nobody misses it.
    if (typeof known?.merchantId === 'string') stateOf(request).admission = this.rate.admit(known.keyId);
    return this.keys.find(keyHash);
  }
}
