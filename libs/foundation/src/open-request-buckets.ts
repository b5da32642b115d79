import type { Database } from '#adapters/postgres/database.js';
import { PostgresRequestBuckets } from '#adapters/postgres/request-buckets.js';
import { RedisRequestBuckets } from '#adapters/redis/request-buckets.js';
import type { RequestBuckets } from '#pipeline/request-buckets.js';

/** The request rates of merchant keys, shared by all API processes: on Redis where there is one, else on PostgreSQL. */
export async function openRequestBuckets(
  configuration: { readonly redisUrl: string | null; readonly apiRatePerSecond: number },
  database: Database,
): Promise<{ readonly requestBuckets: RequestBuckets; readonly close: () => void }> {
  const { redisUrl, apiRatePerSecond } = configuration;
  if (redisUrl === null) {
    return {
      requestBuckets: new PostgresRequestBuckets(database, apiRatePerSecond),
      close: () => undefined,
    };
  }
  const requestBuckets = await RedisRequestBuckets.open(redisUrl, apiRatePerSecond);
  return { requestBuckets, close: () => requestBuckets.close() };
}
