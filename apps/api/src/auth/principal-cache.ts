import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { Principal } from '#adapters/postgres/api-keys.js';

/** Every key that sends events at a time, many times over, in a few megabytes. */
const PRINCIPALS_MAX = 10_000;

/**
 * Principals as they were when last seen, without a limit of time: only for routes that confirm the key in their own
 * transaction.
 */
@Injectable()
export class PrincipalCache {
  readonly #principals = new LRUCache<string, Principal>({ max: PRINCIPALS_MAX });

  get(keyHash: Uint8Array): Principal | undefined {
    return this.#principals.get(cacheKey(keyHash));
  }

  remember(principal: Principal): void {
    this.#principals.set(cacheKey(principal.keyHash), principal);
  }

  forget(keyHash: Uint8Array): void {
    this.#principals.delete(cacheKey(keyHash));
  }
}

function cacheKey(keyHash: Uint8Array): string {
  return Buffer.from(keyHash.buffer, keyHash.byteOffset, keyHash.byteLength).toString('base64');
}
