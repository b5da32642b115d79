import { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { type BucketAnswer, BURST_SECONDS, type RequestBuckets } from '#pipeline/request-buckets.js';

/**
 * A token bucket in place of the library's fixed window, which would let twice the burst through around its end.
 *
 * KEYS[1] the bucket; ARGV[1] requests wanted, ARGV[3] requests that a full one holds, ARGV[4] seconds in which it fills.
 * Returns how many are out of it (more than it holds: refused, nothing taken), and then the milliseconds until there is one.
 * Counts in millionths of a request and microseconds, so that every number is whole. By Redis' clock.
 */
const TAKE = `
local burst, rate = ARGV[3] * 1000000, ARGV[3] / ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket = redis.call('HMGET', KEYS[1], 'debt', 'at')
local elapsed = math.max(0, now - (tonumber(bucket[2]) or now))
local debt = math.max(0, (tonumber(bucket[1]) or 0) - elapsed * rate) + ARGV[1] * 1000000
if debt > burst then return { ARGV[3] + 1, math.ceil((debt - burst) / rate / 1000) } end
redis.call('HSET', KEYS[1], 'debt', string.format('%.0f', debt), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(debt / rate / 1000))
return { math.ceil(debt / 1000000), 0 }
`;

/** Whoever asks has long gone on by then; this only lets go of what a Redis that hangs will never answer. */
const COMMAND_TIMEOUT_MS = 2_000;
/** How long a boot waits for the connection. Requests that come before it is there go unchecked. */
const CONNECT_TIMEOUT_MS = 1_000;

/** Buckets in Redis, on a connection of their own: a blocked or full queue must not show here. */
export class RedisRequestBuckets implements RequestBuckets {
  readonly #redis: Redis;
  readonly #limiter: RateLimiterRedis;

  private constructor(redis: Redis, perSecond: number) {
    this.#redis = redis;
    this.#limiter = new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: 'posthorn:requests',
      points: perSecond * BURST_SECONDS,
      duration: BURST_SECONDS,
      customIncrTtlLuaScript: TAKE,
    });
  }

  /**
   * Resolves with or without a connection: an API starts and runs while Redis is away.
   *
   * @param perSecond a positive integer
   */
  static async open(redisUrl: string, perSecond: number): Promise<RedisRequestBuckets> {
    const redis = new Redis(redisUrl, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000),
    });
    // Whoever takes a request is told; the connection's own errors say nothing more.
    redis.on('error', () => undefined);
    const buckets = new RedisRequestBuckets(redis, perSecond);
    await Promise.race([
      redis.connect().catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, CONNECT_TIMEOUT_MS).unref()),
    ]);
    return buckets;
  }

  async take(keyId: string): Promise<BucketAnswer> {
    try {
      const { remainingPoints } = await this.#limiter.consume(keyId);
      return { allowed: true, remaining: remainingPoints, retryMs: 0 };
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      return { allowed: false, remaining: 0, retryMs: refusal.msBeforeNext };
    }
  }

  close(): void {
    this.#redis.disconnect();
  }
}
