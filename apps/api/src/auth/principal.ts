import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '#adapters/postgres/api-keys.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { OPERATOR_ID } from '#domain/operator.js';
import { notFound } from '../http/api-error.js';
import { stateOf } from '../http/request-state.js';

/** @throws {Error} on a public route: a fault in the wiring */
export function principalOf(request: FastifyRequest): Principal {
  const { principal } = stateOf(request);
  if (principal === null) throw new Error('the route is public: it has no principal');
  return principal;
}

/**
 * The merchant that a request acts for, as a UUID. A merchant key acts for its own, named or not. A platform key acts
 * for the one that it names; null: for none in particular, so lists go across merchants.
 *
 * Whether the merchant exists is not looked up.
 *
 * @param merchantId the `merchant_id` of the body or the query, as the client wrote it
 * @throws {ApiError} 404 for a malformed id, or when a merchant key names another merchant
 */
export function actingMerchant(principal: Principal, merchantId: unknown): string | null {
  if (merchantId === undefined) return principal.merchantId;
  const named = typeof merchantId === 'string' ? parseId(ID_PREFIXES.merchant, merchantId) : null;
  if (named === null || named === OPERATOR_ID) throw notFound();
  if (principal.merchantId !== null && principal.merchantId !== named) throw notFound();
  return named;
}

/** The merchant that the key and the query's `merchant_id` point to; see {@link actingMerchant}. */
export function merchantScopeOf(request: FastifyRequest): string | null {
  const query = request.query as Readonly<Record<string, unknown>>;
  return actingMerchant(principalOf(request), query['merchant_id']);
}

/** Handler parameter: UUID of the merchant that key and query point to; null: a platform key, across merchants. */
export const MerchantScope = createParamDecorator((_: unknown, context: ExecutionContext): string | null =>
  merchantScopeOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
