import { privateKeyOf } from '#domain/signing-pair.js';
import type { Target } from '#pipeline/delivery-store.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database } from './database.js';
import { openSecret } from './endpoint-secrets.js';
import { loadTargets } from './endpoints-load.js';
import { openClientCertificate, openHeaders } from './endpoints-record.js';

/** Endpoints as they are now, by id, with what sending to them takes, opened; deleted ones are absent. */
export async function loadDeliveryTargets(
  db: Database,
  secretBox: SecretBox,
  endpointIds: readonly string[],
): Promise<ReadonlyMap<string, Target>> {
  const targets = new Map<string, Target>();
  for (const [id, row] of await loadTargets(db, endpointIds)) {
    const secrets = row.secrets.map((secret) => openSecret(secretBox, secret));
    targets.set(id, {
      version: row.version,
      url: row.url,
      timeoutMs: row.timeoutMs,
      signatures: row.signatures,
      retryScheduleSeconds: row.retryScheduleSeconds,
      secrets: secrets.map(({ secret }) => secret),
      privateKeys: secrets.flatMap(({ pair }) => (pair === null ? [] : [privateKeyOf(pair.seed)])),
      liveForMs: row.liveForMs,
      acknowledgement: row.acknowledgement,
      hasOwnSchedule: row.hasOwnSchedule,
      headers: openHeaders(secretBox, id, row.headersSealed),
      clientCertificate: openClientCertificate(secretBox, id, row.clientCertificateSealed),
    });
  }
  return targets;
}
