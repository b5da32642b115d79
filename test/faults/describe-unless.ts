import { describe } from '@jest/globals';
import { hasRedis } from '#testkit/redis.js';

/** A suite that is skipped by name where something that it needs is missing. */
export function describeUnless(missing: string | null, name: string, suite: () => void): void {
  if (missing === null) describe(name, suite);
  else describe.skip(`${name} [skipped: ${missing}]`, suite);
}

export function redisMissing(): string | null {
  return hasRedis() ? null : 'no redis-server on the PATH';
}
