// Injected: an endpoint is paused through one API and resumed through another, three times over, while both take events
//   and two workers run.
// Observed: the receiver's ledger, what the API shows, and the database, by the oracle.
// Must hold: once a pause is answered, only what was claimed before still arrives; what is open is shown as held, and
//   other endpoints go on; after the resume everything arrives, once.
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { eventually } from '#testkit/eventually.js';
import type { KnownWebhook } from '#testkit/faults/oracle.js';
import { hasRedis } from '#testkit/redis.js';

const ROUNDS = 3;
/** A claim that was committed before the pause is sent and answered within this. */
const CLAIMED_BEFORE_MS = 1_000;

test('pause and resume from two APIs', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', apis: 2, workers: 2 });
  const [one, other] = [rig.installation.clientOf(0), rig.installation.clientOf(1)];
  try {
    const paused = rig.webhooks[0] as KnownWebhook;
    const arrivals = (path: string) => rig.receiver.requests.filter((request) => request.path === path);
    const set = async (client: typeof one, status: string): Promise<number> => {
      const answer = await client.patch(`/v1/webhooks/${paused.id}`, { status });
      expect(answer).toMatchObject({ status: 200, body: { status } });
      return Date.now();
    };
    const load = rig.load(40);
    load.start();
    await load.untilAccepted(20);
    await rig.during(async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const [pauser, resumer] = round % 2 === 0 ? [one, other] : [other, one];
        const pausedAtUnixMs = await set(pauser, 'paused');
        const othersBefore = arrivals('/hook-1').length;
        await load.untilAccepted(load.accepted.size + 120);
        const late = arrivals(paused.path).filter(
          ({ arrivedAtUnixMs: at }) => at > pausedAtUnixMs + CLAIMED_BEFORE_MS,
        );
        expect(late).toHaveLength(0);
        expect(arrivals('/hook-1').length).toBeGreaterThan(othersBefore);
        const held = await resumer.get<{ data: { status: string }[] }>(
          `/v1/webhooks/${paused.id}/deliveries?status=held&limit=200`,
        );
        expect(held.body.data.length).toBeGreaterThan(0);
        const before = arrivals(paused.path).length;
        await set(resumer, 'enabled');
        await eventually(() => expect(arrivals(paused.path).length).toBeGreaterThan(before), 20_000);
      }
    });
    await load.stop();
    await rig.settled(40_000);
    expect(await rig.verdict('pause and resume from two APIs')).toMatchObject({ lost: 0, duplicates: 0 });
  } finally {
    await rig.close();
  }
});
