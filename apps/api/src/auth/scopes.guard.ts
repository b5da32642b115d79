import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import type { Scope } from '#adapters/postgres/api-keys.js';
import { ApiError } from '../http/api-error.js';
import { PUBLIC, SCOPES } from './decorators.js';
import { principalOf } from './principal.js';

/** 403 unless the key has every scope that the route names. A route that names none is refused to everybody. */
@Injectable()
export class ScopesGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const route = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, route) === true) return true;
    const needed = this.reflector.getAllAndOverride<readonly Scope[] | undefined>(SCOPES, route);
    if (needed === undefined) throw new ApiError('forbidden');
    const { scopes } = principalOf(context.switchToHttp().getRequest<FastifyRequest>());
    const missing = needed.filter((scope) => !scopes.includes(scope));
    if (missing.length > 0) throw new ApiError('forbidden', `The key lacks the scope ${missing.join(', ')}.`);
    return true;
  }
}
