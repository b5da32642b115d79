// Injected: an endpoint's secret is rotated twice under load, by two APIs and with two workers: first with an overlap, then
//   to another one that switches at once.
// Observed: the receiver's ledger, each signature checked against the secrets that were live, and the database.
// Must hold: every request verifies; in the overlap standard-webhooks carries both signatures and sha256-hex the older
//   one's; what leaves after the switch is signed by the last one alone.
import { createHmac } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import type { KnownWebhook } from '#testkit/faults/oracle.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';
import { hasRedis } from '#testkit/redis.js';

/** A claim that was made before the change may still be on its way. */
const ON_ITS_WAY_MS = 1_500;

test('secrets rotated in flight', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', apis: 2, workers: 2 });
  try {
    const webhook = rig.webhooks.at(-1) as KnownWebhook;
    const secrets = [...webhook.secrets];
    rig.webhooks[rig.webhooks.length - 1] = { ...webhook, secrets };
    const rotate = async (api: number, overlapSeconds: number): Promise<void> => {
      const answer = await rig.installation
        .clientOf(api)
        .post(`/v1/webhooks/${webhook.id}/secret/rotate`, { overlap_seconds: overlapSeconds });
      expect(answer.status).toBe(200);
      secrets.push(String(answer.body['secret']));
    };
    const load = rig.load(40, [webhook.merchantId]);
    load.start();
    await load.untilAccepted(40);
    const [overlapAtUnixMs, endedAtUnixMs] = await rig.during(async () => {
      await rotate(0, 3_600);
      const overlapAt = Date.now();
      await load.untilAccepted(load.accepted.size + 120);
      await rotate(1, 0);
      return [overlapAt, Date.now()] as const;
    });
    await load.untilAccepted(load.accepted.size + 120);
    await load.stop();
    await rig.settled(30_000);
    expect(await rig.verdict('secrets rotated in flight')).toMatchObject({ lost: 0, duplicates: 0 });

    const requests = rig.receiver.requests.filter(({ path }) => path === webhook.path);
    const during = requests.filter(
      ({ arrivedAtUnixMs: at }) => at > overlapAtUnixMs + ON_ITS_WAY_MS && at < endedAtUnixMs - ON_ITS_WAY_MS,
    );
    const afterwards = requests.filter(({ arrivedAtUnixMs: at }) => at > endedAtUnixMs + ON_ITS_WAY_MS);
    expect(during.length).toBeGreaterThan(0);
    expect(afterwards.length).toBeGreaterThan(0);
    for (const request of during) {
      expect(signersOf(request, secrets)).toEqual({ standard: [0, 1], hex: [0] });
    }
    for (const request of afterwards) {
      expect(signersOf(request, secrets)).toEqual({ standard: [2], hex: [2] });
    }
  } finally {
    await rig.close();
  }
});

/** Which of the secrets, by position, have signed in each scheme. */
function signersOf({ headers, body }: ReceivedRequest, secrets: readonly string[]) {
  const given = String(headers['webhook-signature']).split(' ');
  const signed = (secret: string): string =>
    createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
      .update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.`)
      .update(body)
      .digest('base64');
  const positions = secrets.map((_, index) => index);
  return {
    standard: positions.filter((index) => given.includes(`v1,${signed(secrets[index] as string)}`)),
    hex: positions.filter((index) => {
      const hex = createHmac('sha256', secrets[index] as string)
        .update(body)
        .digest('hex');
      return headers['x-posthorn-signature'] === `sha256=${hex}`;
    }),
  };
}
