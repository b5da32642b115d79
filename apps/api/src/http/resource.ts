import {
  createParamDecorator,
  Injectable,
  SetMetadata,
  type CanActivate,
  type CustomDecorator,
  type ExecutionContext,
  type Type,
} from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { parseId, type IdPrefix } from '#domain/ids.js';
import { merchantScopeOf } from '../auth/principal.js';
import { notFound } from './api-error.js';
import { stateOf } from './request-state.js';

/** Finds what an id in a path stands for, before anything of the body is looked at. A provider of its module. */
export interface ResourceLoader<Resource> {
  /**
   * @param id UUID
   * @param merchantId UUID of the merchant that it must belong to; null: a platform key, any merchant
   */
  load(id: string, merchantId: string | null): Promise<Resource | null>;
}

interface ResourceRoute {
  readonly param: string;
  readonly prefix: IdPrefix;
  readonly loader: Type<ResourceLoader<unknown>>;
}

const RESOURCE = 'posthorn:resource';

/**
 * The path's `:param` is an id with this prefix, and what it stands for must exist within the merchant that the
 * request acts for; else 404. The handler takes it with {@link Loaded}.
 */
export function Resource(
  param: string,
  prefix: IdPrefix,
  loader: Type<ResourceLoader<unknown>>,
): CustomDecorator {
  return SetMetadata(RESOURCE, { param, prefix, loader } satisfies ResourceRoute);
}

/** Handler parameter: what the route's {@link Resource} found. */
export const Loaded = createParamDecorator(
  (_: unknown, context: ExecutionContext): unknown =>
    stateOf(context.switchToHttp().getRequest<FastifyRequest>()).loaded,
);

function isOfOneMerchant(request: FastifyRequest): boolean {
  const merchantId = stateOf(request).principal?.merchantId ?? null;
  return merchantId !== null;
}

@Injectable()
export class ResourceGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly modules: ModuleRef,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = this.reflector.getAllAndOverride<ResourceRoute | undefined>(RESOURCE, [
      context.getHandler(),
      context.getClass(),
    ]);
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    // Of every call, also of those that have no use for the query: whoever names another merchant is told so.
    if (isOfOneMerchant(request)) merchantScopeOf(request);
    if (route === undefined) return true;
    const text = (request.params as Readonly<Record<string, string | undefined>>)[route.param] ?? '';
    const id = parseId(route.prefix, text);
    if (id === null) throw notFound();
    const loader = this.modules.get(route.loader, { strict: false });
    const loaded = await loader.load(id, merchantScopeOf(request));
    if (loaded === null) throw notFound();
    stateOf(request).loaded = loaded;
    return true;
  }
}
