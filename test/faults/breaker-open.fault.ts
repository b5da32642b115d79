// Injected: one endpoint answers 500 to everything for longer than the breaker's evidence takes, under load, and is well
//   again later; two workers.
// Observed: what the API says of its health, the receiver's ledger, and the database, by the oracle.
// Must hold: the breaker opens and lets nothing but probes through; other endpoints notice nothing; after the first probe
//   that succeeds the backlog comes slowly at first; time spent open costs no delivery its retries, and nothing is lost.
import { expect, test } from '@jest/globals';
import { BREAKER } from '#domain/breaker.js';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import type { KnownWebhook } from '#testkit/faults/oracle.js';
import { hasRedis } from '#testkit/redis.js';
import { respond } from '#testkit/receiver/behaviour.js';

const PER_SECOND = 20;
/** Enough steps that none is spent before the breaker opens. */
const SCHEDULE_SECONDS = Array.from({ length: 20 }, () => 5);
const OPENS_WITHIN_MS = (BREAKER.windowSecondsMin + 20) * 1_000;
/** Between the second probe and the third. */
const LOOKED_AT_MS = 12_000;
const PROBES_MAX = 3;
/** Of the drain's first stage: its rate, a full bucket, and what two workers may each be late by. */
const FIRST_STAGE_MAX = BREAKER.drainStartPerSecond * (BREAKER.drainDoublesEverySeconds + 2) + 2;

test('an endpoint is down for a minute', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', workers: 2 });
  try {
    const [down] = (await rig.addMerchant(1, { retry_schedule_seconds: SCHEDULE_SECONDS })) as [KnownWebhook];
    const others = rig.merchantIds.slice(0, -1);
    const arrivals = () => rig.receiver.requests.filter(({ path }) => path === down.path);
    const state = async () => {
      const { body } = await rig.client.get<{ health: { state: string } }>(`/v1/webhooks/${down.id}`);
      return body.health.state;
    };
    const [victims, innocents] = [rig.load(PER_SECOND, [down.merchantId]), rig.load(PER_SECOND, others)];
    await rig.during(async () => {
      rig.receiver.on(down.path, respond(500));
      victims.start();
      innocents.start();
      await eventually(async () => expect(await state()).toBe('suspended'), OPENS_WITHIN_MS);
      await victims.stop();

      const openedAtUnixMs = Date.now();
      const innocentsBefore = innocents.accepted.size;
      await eventually(
        () => expect(Date.now() - openedAtUnixMs).toBeGreaterThan(LOOKED_AT_MS),
        LOOKED_AT_MS * 2,
      );
      // What was in flight when it opened may still arrive in its first second.
      const probes = arrivals().filter(({ arrivedAtUnixMs: at }) => at > openedAtUnixMs + 1_000);
      expect(probes.length).toBeGreaterThan(0);
      expect(probes.length).toBeLessThanOrEqual(PROBES_MAX);
      expect(innocents.accepted.size).toBeGreaterThan(innocentsBefore + PER_SECOND);
      rig.receiver.on(down.path, respond());
    });

    const backAtUnixMs = Date.now();
    const answered = () => arrivals().filter(({ arrivedAtUnixMs: at }) => at > backAtUnixMs);
    await eventually(() => expect(answered().length).toBeGreaterThan(0), BREAKER.probeWaitMsMax);
    await innocents.stop();
    await rig.settled(90_000);
    const [first] = answered();
    const stageEndsAtUnixMs = Number(first?.arrivedAtUnixMs) + BREAKER.drainDoublesEverySeconds * 1_000;
    const inFirstStage = answered().filter(({ arrivedAtUnixMs: at }) => at < stageEndsAtUnixMs);
    expect(inFirstStage.length).toBeLessThanOrEqual(FIRST_STAGE_MAX);
    expect(await state()).toMatch(/recovering|healthy/);
    expect(await rig.verdict('endpoint down for a minute')).toMatchObject({ lost: 0, duplicates: 0 });
  } finally {
    await rig.close();
  }
});
