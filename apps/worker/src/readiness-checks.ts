import type { INestApplicationContext } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Worker } from 'bullmq';
import type { Logger } from 'pino';
import type { ReadinessCheck } from '#observability/readiness.js';
import { FastHintProcessor, SlowHintProcessor, SuspectHintProcessor } from './hint-processors.js';

/** What a readiness check says of Redis: null when all is well, else one line, and whether it is only a warning. */
export interface RedisVerdict {
  readonly problem: string | null;
  readonly warning: string | null;
}

/**
 * A connection of its own to Redis that tells whether hints are safe there: reachable, and with `noeviction`, because
 * a Redis that evicts throws away jobs silently.
 */
class RedisProbe {
  private readonly redis: Redis;

  constructor(redisUrl: string) {
    this.redis = new Redis(redisUrl, {
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      commandTimeout: PROBE_TIMEOUT_MS,
      connectTimeout: PROBE_TIMEOUT_MS,
      retryStrategy: () => PROBE_TIMEOUT_MS,
    });
    this.redis.on('error', () => undefined);
  }

  async verdict(): Promise<RedisVerdict> {
    try {
      await this.redis.ping();
    } catch {
      return { problem: 'Redis does not answer', warning: null };
    }
    try {
      const [, policy] = (await this.redis.config('GET', 'maxmemory-policy')) as [string, string?];
      const problem = `Redis has maxmemory-policy ${String(policy)}: it must be noeviction, or hints get lost`;
      return { problem: policy === 'noeviction' ? null : problem, warning: null };
    } catch {
      // Hosted Redis often forbids CONFIG; whoever runs it has to look for himself.
      return { problem: null, warning: 'Redis does not tell its maxmemory-policy: it must be noeviction' };
    }
  }

  close(): void {
    this.redis.disconnect();
  }
}

const PROBE_TIMEOUT_MS = 1_000;

/** What a worker's readiness asks of its queue. On PostgreSQL there is nothing that the database's own check leaves out. */
export function queueCheck(
  redisUrl: string | null,
  logger: Logger,
): { readonly check: ReadinessCheck; readonly close: () => void } {
  if (redisUrl === null) {
    return { check: { name: 'queue', problem: () => Promise.resolve(null) }, close: () => undefined };
  }
  const probe = new RedisProbe(redisUrl);
  let lastWarning: string | null = null;
  const problem = async (): Promise<string | null> => {
    const verdict = await probe.verdict();
    if (verdict.warning !== null && verdict.warning !== lastWarning) logger.warn(verdict.warning);
    lastWarning = verdict.warning;
    return verdict.problem;
  };
  return { check: { name: 'queue', problem }, close: () => probe.close() };
}

/** Whether an application with `WorkerModule` in it takes hints off every lane. It is asked only once it is up. */
export function consumingCheck(app: Pick<INestApplicationContext, 'get'>): ReadinessCheck {
  return {
    name: 'consuming',
    problem: () => {
      const workers = [FastHintProcessor, SlowHintProcessor, SuspectHintProcessor].map(
        (processor) => app.get<{ readonly worker: Worker }>(processor).worker,
      );
      const idle = workers.filter((worker) => !worker.isRunning() || worker.isPaused());
      return Promise.resolve(
        idle.length === 0 ? null : `nothing takes from ${idle.map(({ name }) => name).join(', ')}`,
      );
    },
  };
}
