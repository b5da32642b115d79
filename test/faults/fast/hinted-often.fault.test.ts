// Injected: a hundred hints for one and the same delivery, ten times over, taken by two workers at once while the receiver
//   is still answering the first.
// Observed: the receiver's ledger and the database, by the oracle.
// Must hold: one request a delivery, and one attempt in the log.
import { expect, test } from '@jest/globals';
import { BullMqHintQueue } from '#adapters/queue/bullmq-hint-queue.js';
import { connectQueues } from '#adapters/queue/queue-connection.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import { after } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';

const HINTS = 100;

test('one delivery hinted 100 times is one request', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', workers: 0 });
  const { database, redis } = rig.installation;
  const { databaseUrl } = database;
  const queues = connectQueues({ redisUrl: redis?.url ?? null, databaseUrl });
  const queue = new BullMqHintQueue(queues);
  try {
    rig.receiver.on('*', after(300));
    const load = rig.load(40, rig.merchantIds.slice(-1));
    load.burst(10);
    await load.stop();
    const deliveryIds = await withClient(databaseUrl, async (client) => {
      const { rows } = await client.query<{ id: string }>('SELECT id FROM deliveries');
      return rows.map(({ id }) => id);
    });
    expect(deliveryIds).toHaveLength(10);
    await rig.during(async () => {
      await queue.add(
        Array.from({ length: HINTS }, (_, n) =>
          deliveryIds.map((id) => ({
            lane: 'fast' as const,
            deliveryIds: [id] as const,
            hintNumber: 1_000 + n,
            delayMs: 0,
          })),
        ).flat(),
      );
      await Promise.all([rig.installation.startWorker(), rig.installation.startWorker()]);
    });
    await rig.settled(30_000);
    expect(await rig.verdict('one delivery hinted 100 times')).toMatchObject({ lost: 0, duplicates: 0 });
    expect(rig.receiver.requests).toHaveLength(deliveryIds.length);
  } finally {
    await queue.close();
    await queues.close();
    await rig.close();
  }
}, 90_000);
