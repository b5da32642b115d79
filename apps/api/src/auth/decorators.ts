import {
  createParamDecorator,
  SetMetadata,
  type CustomDecorator,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Principal, Scope } from '#adapters/postgres/api-keys.js';
import { principalOf } from './principal.js';

export const PUBLIC = 'posthorn:public';
export const SCOPES = 'posthorn:scopes';
export const CONFIRMS_KEY = 'posthorn:confirms-key';

/** No key is needed. */
export function Public(): CustomDecorator {
  return SetMetadata(PUBLIC, true);
}

/** The key needs every one of these. A route that names none and is not public refuses every key. */
export function Scopes(...scopes: [Scope, ...Scope[]]): CustomDecorator {
  return SetMetadata(SCOPES, scopes);
}

/**
 * The principal may come from a cache, because the handler confirms it in its own transaction
 * (`KeyDirectory.findMany`) and throws `unauthenticated` when it is not live any more.
 */
export function ConfirmsKey(): CustomDecorator {
  return SetMetadata(CONFIRMS_KEY, true);
}

/** Handler parameter: who the request comes from. */
export const CurrentPrincipal = createParamDecorator((_: unknown, context: ExecutionContext): Principal =>
  principalOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
