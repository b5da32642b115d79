import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { insertApiKey, type Scope } from '#adapters/postgres/api-keys.js';
import { IdempotentPosts, type PostAnswer, type Transaction } from '#adapters/postgres/idempotent-posts.js';
import { generateApiKey, hashApiKey, shownPrefix } from '#adapters/secrets/api-key-text.js';
import type { IdMaker } from '#domain/ids.js';
import type { AuditTrail } from '../audit/audit-trail.js';
import type { IdempotentCall } from '../http/idempotency.js';
import { ID_MAKER } from '../tokens.js';
import { viewApiKey } from './api-key.schema.js';

export interface KeyRequest {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expires_at: Date | null;
}

/** Makes keys, a merchant's and the platform's alike. */
@Injectable()
export class KeyIssuer {
  constructor(
    @Inject(ID_MAKER) private readonly ids: IdMaker,
    private readonly posts: IdempotentPosts,
  ) {}

  /**
   * @param merchantId UUID; null for a platform key
   * @param admit runs first in the transaction, and throws when the owner may have no keys
   */
  issue(
    merchantId: string | null,
    request: KeyRequest,
    call: IdempotentCall,
    audit: AuditTrail,
    admit: (transaction: Transaction) => Promise<void> = () => Promise.resolve(),
  ): Promise<PostAnswer> {
    return this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
      await admit(transaction);
      const key = generateApiKey(randomBytes);
      const row = await insertApiKey(transaction, {
        id: this.ids.uuid(),
        merchantId,
        name: request.name,
        prefix: shownPrefix(key),
        keyHash: hashApiKey(key),
        scopes: request.scopes,
        expiresAt: request.expires_at,
      });
      const view = viewApiKey(row);
      await audit.record(transaction, { merchantId, target: view.id, after: view });
      return { status: 201, body: { ...view, key } };
    });
  }
}
