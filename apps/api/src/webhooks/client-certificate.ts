import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import * as z from 'zod';
import type { ClientCertificate } from '#pipeline/sender.js';
import type { InputProblem } from '../http/api-error.js';
import { instant } from '../http/fields.js';

/** A chain of a few certificates; a usual one is 1 to 3 KiB. */
const CERTIFICATE_LENGTH_MAX = 16_384;
/** The certificate itself and whatever stands between it and a root. */
const CHAIN_LENGTH_MAX = 5;
/** Room for RSA of 4,096 bits, which is the largest that is taken. */
const PRIVATE_KEY_LENGTH_MAX = 4_096;
/** OpenSSL refuses less. */
const RSA_BITS_MIN = 2_048;
/** Each handshake signs once, on the thread that serves every merchant: 8,192 bits would take it for tens of milliseconds. */
const RSA_BITS_MAX = 4_096;
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

export const clientCertificateInput = z
  .strictObject({
    certificate: z
      .string()
      .min(1)
      .max(CERTIFICATE_LENGTH_MAX)
      .meta({
        description: `PEM: the certificate, then up to ${CHAIN_LENGTH_MAX - 1} intermediate ones.`,
      }),
    private_key: z.string().min(1).max(PRIVATE_KEY_LENGTH_MAX).meta({
      description: 'PEM, without a passphrase: RSA of 2,048 to 4,096 bits, P-256, P-384, P-521 or Ed25519.',
      writeOnly: true,
    }),
  })
  .nullable()
  .meta({
    description:
      'Shown to the receiver where it asks for a client certificate (mutual TLS); needs an https url. The private key is write-only. null: none.',
  });
type ClientCertificateInput = NonNullable<z.infer<typeof clientCertificateInput>>;

export const clientCertificateView = z
  .object({
    subject: z.string().meta({ examples: ['O=Shop, CN=posthorn.shop.example'] }),
    fingerprint_sha256: z.string().meta({ description: 'As OpenSSL prints it.', examples: ['9C:41:…:0A'] }),
    expires_at: instant,
  })
  .nullable()
  .meta({ description: 'What the receiver is shown where it asks for a client certificate.' });

/** What is wrong with a certificate and its key, each problem with its path; the key itself is never repeated. */
export function clientCertificateProblems(input: ClientCertificateInput, nowMs: number): InputProblem[] {
  const chain = readChain(input.certificate);
  const key = readPrivateKey(input.private_key);
  const [leaf] = chain ?? [];
  const problems = [
    problem(
      'certificate',
      leaf === undefined ? 'must be one to five certificates in PEM and nothing else' : null,
    ),
    problem('certificate', leaf !== undefined && leaf.validToDate.getTime() <= nowMs ? 'has expired' : null),
    problem(
      'private_key',
      key === null ? 'must be a private key in PEM without a passphrase' : keyProblem(key),
    ),
  ].flat();
  if (leaf === undefined || key === null || problems.length > 0) return problems;
  if (!leaf.checkPrivateKey(key)) return problem('private_key', 'is not the key of the certificate');
  return isUsable(input) ? [] : problem('certificate', 'cannot be used for TLS');
}

export function toClientCertificate(input: ClientCertificateInput): ClientCertificate {
  return { certificate: input.certificate, privateKey: input.private_key };
}

export function viewClientCertificate(
  clientCertificate: ClientCertificate | null,
): z.infer<typeof clientCertificateView> {
  if (clientCertificate === null) return null;
  const leaf = new X509Certificate(clientCertificate.certificate);
  // Undefined, whatever its type says, where the certificate has none.
  const subject = leaf.subject as string | undefined;
  return {
    subject: subject?.replaceAll('\n', ', ') ?? '',
    fingerprint_sha256: leaf.fingerprint256,
    expires_at: leaf.validToDate.toISOString(),
  };
}

function problem(field: 'certificate' | 'private_key', message: string | null): InputProblem[] {
  return message === null ? [] : [{ path: `client_certificate.${field}`, message }];
}

/** Null for what is not a chain. */
function readChain(pem: string): X509Certificate[] | null {
  const blocks = pem.match(CERTIFICATE_BLOCK) ?? [];
  const isNothingElse = pem.replaceAll(CERTIFICATE_BLOCK, '').trim() === '';
  if (!isNothingElse || blocks.length > CHAIN_LENGTH_MAX) return null;
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return null;
  }
}

function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return null;
  }
}

function keyProblem({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | null {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails ?? {};
  const isTaken =
    asymmetricKeyType === 'ed25519' ||
    (asymmetricKeyType === 'ec' && CURVES.includes(namedCurve)) ||
    (asymmetricKeyType === 'rsa' && modulusLength >= RSA_BITS_MIN && modulusLength <= RSA_BITS_MAX);
  return isTaken ? null : 'must be RSA of 2,048 to 4,096 bits, P-256, P-384, P-521 or Ed25519';
}

/** Whether the sender will be able to do with it what it does for each connection. */
function isUsable({ certificate, private_key: key }: ClientCertificateInput): boolean {
  try {
    createSecureContext({ cert: certificate, key });
    return true;
  } catch {
    return false;
  }
}
