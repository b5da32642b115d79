import * as z from 'zod';
import type { EndpointSecret } from '#adapters/postgres/endpoint-secrets.js';
import { effectiveEndpoint, type EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import type { SignatureSpec } from '#domain/signature.js';
import { publicKeyText } from '#domain/signing-pair.js';
import { instant } from '../http/fields.js';

/** As Stripe's users know it: a day to deploy a new secret in. */
const OVERLAP_SECONDS_DEFAULT = 86_400;
/** Thirty days: whoever has not learnt a secret by then will not. */
const OVERLAP_SECONDS_MAX = 2_592_000;

export const overlapSeconds = z
  .int()
  .min(0)
  .max(OVERLAP_SECONDS_MAX)
  .default(OVERLAP_SECONDS_DEFAULT)
  .meta({
    description:
      'How long the secrets before it stay live, at most: what is left of an earlier overlap is shortened and never ' +
      'lengthened. Until then, signatures that carry several values are made with every live secret, and those that ' +
      'carry one with the oldest. 0: the new secret alone, from now on.',
  });

/** What a receiver verifies with. */
export const verifierView = {
  secret: z.string().meta({
    description:
      'What signatures are verified with: the shared secret or, where only standard-webhooks-ed25519 signs, the public key.',
  }),
  public_key: z.string().optional().meta({
    description: 'Where standard-webhooks-ed25519 signs: `whpk_` and the base64 of the Ed25519 public key.',
  }),
};

export const secretView = z
  .object({
    ...verifierView,
    previous: z.array(z.object({ ...verifierView, expires_at: instant })).meta({
      description: 'Those that are still live, the newest first.',
    }),
  })
  .meta({ id: 'WebhookSecret' });

interface Verifier {
  readonly secret: string;
  readonly public_key?: string;
}

/** Never the private key, which nobody but the worker has any use for. */
export function viewVerifier(
  { overrides, merchantDialect }: EndpointRecord,
  { secret, pair }: EndpointSecret,
): Verifier {
  const { signatures } = effectiveEndpoint(overrides, merchantDialect);
  if (pair === null || !signatures.some(isSignedByPair)) return { secret };
  const publicKey = publicKeyText(pair.publicKey);
  return { secret: isSignedByPairsOnly(signatures) ? publicKey : secret, public_key: publicKey };
}

/** @param secrets the live ones, oldest first */
export function viewSecrets(
  endpoint: EndpointRecord,
  secrets: readonly EndpointSecret[],
): z.infer<typeof secretView> {
  const current = secrets.find(({ expiresAt }) => expiresAt === null);
  if (current === undefined) throw new Error('a webhook has a current secret');
  const previous = secrets.flatMap((secret) =>
    secret.expiresAt === null
      ? []
      : [{ ...viewVerifier(endpoint, secret), expires_at: secret.expiresAt.toISOString() }],
  );
  return { ...viewVerifier(endpoint, current), previous: previous.reverse() };
}

/** Whether the secret that a receiver shares signs nothing, because pairs do. */
export function isSignedByPairsOnly(signatures: readonly SignatureSpec[]): boolean {
  return signatures.length > 0 && signatures.every(isSignedByPair);
}

function isSignedByPair({ scheme }: SignatureSpec): boolean {
  return scheme === 'standard-webhooks-ed25519';
}
