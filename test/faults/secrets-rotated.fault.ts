// Injected: an endpoint's secret is replaced twice under load with two workers, by SQL as a rotation does it: first with an
//   overlap, then the old one ends at once. The API has no call for it yet.
// Observed: the receiver's ledger, each signature checked against the secrets that were live, and the database.
// Must hold: every request verifies; in the overlap standard-webhooks carries both signatures and sha256-hex the older
//   one's; what leaves after the end of the old one is signed by the new one alone.
import { createHmac, randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import { IdMaker, parseId } from '#domain/ids.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { type KnownWebhook, withClient } from '#testkit/faults/oracle.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';
import { hasRedis } from '#testkit/redis.js';

/** A claim that was made before the change may still be on its way. */
const ON_ITS_WAY_MS = 1_500;

test('secrets rotated in flight', async () => {
  const key = { id: 'test', key: randomBytes(32) };
  const box = new AesGcmSecretBox([key]);
  const rig = await startFaultRig({
    queue: hasRedis() ? 'redis' : 'postgres',
    workers: 2,
    environment: { POSTHORN_ENCRYPTION_KEYS: `test:${key.key.toString('base64')}` },
  });
  try {
    const webhook = rig.webhooks.at(-1) as KnownWebhook;
    const oldSecret = webhook.secrets[0] as string;
    const newSecret = `whsec_${randomBytes(32).toString('base64')}`;
    rig.webhooks[rig.webhooks.length - 1] = { ...webhook, secrets: [oldSecret, newSecret] };
    const endpointId = parseId('wh', webhook.id) as string;
    const load = rig.load(40, [webhook.merchantId]);
    load.start();
    await load.untilAccepted(40);
    const [overlapAtUnixMs, endedAtUnixMs] = await rig.during(async () => {
      const id = new IdMaker(Date.now, randomBytes).uuid();
      const sealed = Buffer.from(box.seal(Buffer.from(newSecret), id));
      await withClient(rig.installation.database.databaseUrl, (client) =>
        inTransaction(client, [
          [
            `UPDATE endpoint_secrets SET expires_at = now() + interval '1 hour' WHERE endpoint_id = $1`,
            [endpointId],
          ],
          [
            'INSERT INTO endpoint_secrets (id, endpoint_id, sealed) VALUES ($1, $2, $3)',
            [id, endpointId, sealed],
          ],
          ['UPDATE endpoints SET version = version + 1 WHERE id = $1', [endpointId]],
        ]),
      );
      const overlapAt = Date.now();
      await load.untilAccepted(load.accepted.size + 120);
      await withClient(rig.installation.database.databaseUrl, (client) =>
        inTransaction(client, [
          [
            'UPDATE endpoint_secrets SET expires_at = now() WHERE endpoint_id = $1 AND id <> $2',
            [endpointId, id],
          ],
          ['UPDATE endpoints SET version = version + 1 WHERE id = $1', [endpointId]],
        ]),
      );
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
      expect(signersOf(request, [oldSecret, newSecret])).toEqual({ standard: [0, 1], hex: [0] });
    }
    for (const request of afterwards) {
      expect(signersOf(request, [oldSecret, newSecret])).toEqual({ standard: [1], hex: [1] });
    }
  } finally {
    await rig.close();
  }
});

async function inTransaction(
  client: { query: (sql: string, values?: unknown[]) => Promise<unknown> },
  statements: readonly (readonly [sql: string, values: unknown[]])[],
): Promise<void> {
  await client.query('BEGIN');
  for (const [sql, values] of statements) await client.query(sql, values);
  await client.query('COMMIT');
}

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
