// Injected: a Redis with maxmemory-policy allkeys-lru, which throws jobs away silently when it is full.
// Observed: what readiness says, the receiver's ledger and the database.
// Must hold: the worker is not ready and says why; the API is ready, takes events, and they arrive; with the policy
//   corrected the worker becomes ready without a restart.
import { expect, test } from '@jest/globals';
import { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { redisCommand } from '#testkit/faults/redis-command.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { spawnRedis } from '#testkit/redis.js';
import { describeUnless, redisMissing } from '../describe-unless.js';

describeUnless(redisMissing(), 'Redis evicts', () => {
  test('maxmemory-policy allkeys-lru', async () => {
    const redis = await spawnRedis({ serverArguments: ['--maxmemory-policy', 'allkeys-lru'] });
    const rig = await startFaultRig({ queue: 'redis', redis });
    try {
      const [worker] = rig.installation.workers as [PosthornProcess];
      const probe = (process: { url: string }) => new ApiClient(process.url, null).get('/readyz');
      const load = rig.load(40);
      await rig.during(async () => {
        load.start();
        await load.untilAccepted(40);
        const unready = await probe(worker);
        expect(unready.status).toBe(503);
        expect(unready.text).toContain('noeviction');
        expect(await probe(rig.client)).toMatchObject({ status: 200 });
        await redisCommand(redis.url, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      });
      await eventually(async () => expect((await probe(worker)).status).toBe(200));
      await load.stop();
      await rig.settled(30_000);
      expect(await rig.verdict('Redis with a wrong eviction policy')).toMatchObject({
        lost: 0,
        duplicates: 0,
      });
    } finally {
      await rig.close();
    }
  }, 60_000);
});
