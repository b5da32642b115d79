import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';

import {
  allSignatureHeaders,
  SIGNATURE_SCHEMES,
  signatureHeaderNames,
  signatureHeaders,
  type SignatureScheme,
} from './signature.js';
import { generateSigningPair, privateKeyOf } from './signing-pair.js';

interface Vector {
  readonly scheme: SignatureScheme;
  readonly case: string;
  readonly secret: string;
  readonly id?: string;
  readonly timestamp?: number;
  readonly body: string;
  readonly header: string;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../test/golden/signatures.json', import.meta.url), 'utf8'),
) as readonly Vector[];

const base = {
  eventId: 'evt_1',
  unixSeconds: 1_705_320_600,
  body: Buffer.from('{"a":1}'),
  headerPrefix: 'X-Posthorn',
};

// Made with: printf '%s' <signed bytes> | openssl dgst -sha256 -hmac <secret>; AT: signed with the time before the
// body, ID: with the event id and the time.
const HEX_OF_OLD = '4f6873f008f68c96a1877cd5c6e67943d59cdeef3be6813a0b799912abc34596';
const HEX_OF_NEW_AT = 'c765b6498bc1b27359c3a7797b9871fe5d65d77a6cf9f292e29b4f3ca45b434b';
const HEX_OF_OLD_AT = '454e9a83c0cacfec0982dfd80f2ce3b78113d2c36589ad04636c5db50e15bbd1';
const HEX_OF_OLD_ID = '817ac4a67913cbc6db7ae863a3177d483c912f0986579d26b4e548c30b2fc418';
const HEX_OF_NEW_ID = '5092ec8218299a318721e499bc47c655b7281102443162230e6d3982d7ac828c';
const OLD = 'old-secret-of-16';
const NEW = 'new-secret-of-16';

describe('values made by independent libraries', () => {
  test('there are some for every scheme that they know', () => {
    expect(new Set(vectors.map(({ scheme }) => scheme))).toEqual(
      new Set(
        SIGNATURE_SCHEMES.filter((scheme) => scheme !== 'hex' && scheme !== 'standard-webhooks-ed25519'),
      ),
    );
  });

  test.each(vectors.map((vector) => [vector.scheme, vector.case, vector] as const))(
    '%s, %s',
    (scheme, _case, vector) => {
      const headers = signatureHeaders(
        { scheme },
        {
          ...base,
          secrets: [vector.secret],
          eventId: vector.id ?? base.eventId,
          unixSeconds: vector.timestamp ?? base.unixSeconds,
          body: Buffer.from(vector.body),
        },
      );
      expect(headers.at(-1)?.[1]).toBe(vector.header);
    },
  );
});

describe('header names', () => {
  test.each([
    ['sha256-hex', ['X-Acme-Signature']],
    ['timestamped', ['X-Acme-Signature']],
    ['hex', ['X-Signature']],
    ['standard-webhooks', ['webhook-id', 'webhook-timestamp', 'webhook-signature']],
    ['standard-webhooks-ed25519', ['webhook-id', 'webhook-timestamp', 'webhook-signature']],
  ] as const)('%s', (scheme, names) => {
    expect(signatureHeaderNames({ scheme }, 'X-Acme')).toEqual(names);
    const privateKeys = [newPrivateKey()];
    const input = { ...base, secrets: [OLD], privateKeys, headerPrefix: 'X-Acme' };
    expect(signatureHeaders({ scheme }, input).map(([name]) => name)).toEqual(names);
  });

  test('an own name replaces the default, except where the specification fixes the names', () => {
    expect(
      signatureHeaderNames({ scheme: 'sha256-hex', header: 'X-Fiatsend-Signature' }, 'X-Posthorn'),
    ).toEqual(['X-Fiatsend-Signature']);
    expect(
      signatureHeaderNames({ scheme: 'standard-webhooks', header: 'X-Own' }, 'X-Posthorn'),
    ).not.toContain('X-Own');
  });
});

describe('two live secrets', () => {
  const secrets = [OLD, NEW];

  test('one value: the oldest signs', () => {
    expect(signatureHeaders({ scheme: 'hex' }, { ...base, secrets })).toEqual([['X-Signature', HEX_OF_OLD]]);
    expect(signatureHeaders({ scheme: 'sha256-hex' }, { ...base, secrets })).toEqual([
      ['X-Posthorn-Signature', `sha256=${HEX_OF_OLD}`],
    ]);
  });

  test('several values: all sign, the oldest first', () => {
    expect(signatureHeaders({ scheme: 'timestamped' }, { ...base, secrets })).toEqual([
      ['X-Posthorn-Signature', `t=1705320600,v1=${HEX_OF_OLD_AT},v1=${HEX_OF_NEW_AT}`],
    ]);
    const [, , [, value] = ['', '']] = signatureHeaders(
      { scheme: 'standard-webhooks' },
      { ...base, secrets },
    );
    const base64 = [HEX_OF_OLD_ID, HEX_OF_NEW_ID].map(
      (hex) => `v1,${Buffer.from(hex, 'hex').toString('base64')}`,
    );
    expect(value).toBe(base64.join(' '));
  });
});

describe('Ed25519', () => {
  const keys = [newPrivateKey(), newPrivateKey()];
  const input = { ...base, secrets: [OLD], privateKeys: keys };
  const signed = Buffer.from('evt_1.1705320600.{"a":1}');

  function signers(header: string | undefined): (number | undefined)[] {
    return (header ?? '').split(' ').map((part) => {
      const [version, signature = ''] = part.split(',');
      expect(version).toBe('v1a');
      return keys.findIndex((key) =>
        verify(null, signed, createPublicKey(key), Buffer.from(signature, 'base64')),
      );
    });
  }

  test('every live key signs, the oldest first', () => {
    const headers = signatureHeaders({ scheme: 'standard-webhooks-ed25519' }, input);
    expect(headers.slice(0, 2)).toEqual([
      ['webhook-id', 'evt_1'],
      ['webhook-timestamp', '1705320600'],
    ]);
    expect(signers(headers[2]?.[1])).toEqual([0, 1]);
  });

  test('stands beside the shared secret’s signature, in one header', () => {
    const specs = [
      { scheme: 'standard-webhooks' },
      { scheme: 'hex' },
      { scheme: 'standard-webhooks-ed25519' },
    ] as const;
    const headers = allSignatureHeaders(specs, input);
    expect(headers.map(([name]) => name)).toEqual([
      'webhook-id',
      'webhook-timestamp',
      'webhook-signature',
      'X-Signature',
    ]);
    const [first, ...others] = headers[2]?.[1].split(' ') ?? [];
    expect(first).toBe(`v1,${Buffer.from(HEX_OF_OLD_ID, 'hex').toString('base64')}`);
    expect(signers(others.join(' '))).toEqual([0, 1]);
  });

  test('without a key is refused', () => {
    expect(() =>
      signatureHeaders({ scheme: 'standard-webhooks-ed25519' }, { ...base, secrets: [OLD] }),
    ).toThrow(RangeError);
  });
});

function newPrivateKey() {
  return privateKeyOf(generateSigningPair(randomBytes).seed);
}

describe('the published receiver library', () => {
  const unixSeconds = Math.floor(Date.now() / 1_000);
  const generated = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const body = Buffer.from('{"name":"Ama Ɔkɔtɔ 💸","amount":1.10}');

  test.each([
    ['a generated secret', generated, undefined],
    ["a merchant's own", 'your_webhook_secret', { format: 'raw' } as const],
  ])('verifies %s', (_what, secret, options) => {
    const headers = signatureHeaders(
      { scheme: 'standard-webhooks' },
      { ...base, secrets: [secret], unixSeconds, body },
    );
    const webhook = new Webhook(secret, options);
    expect(webhook.verify(body, Object.fromEntries(headers))).toEqual({ name: 'Ama Ɔkɔtɔ 💸', amount: 1.1 });
    expect(() => webhook.verify(Buffer.from('{}'), Object.fromEntries(headers))).toThrow(
      'No matching signature',
    );
  });

  test('verifies with either secret during an overlap', () => {
    const headers = signatureHeaders(
      { scheme: 'standard-webhooks' },
      { ...base, secrets: [OLD, generated], unixSeconds, body },
    );
    for (const webhook of [new Webhook(OLD, { format: 'raw' }), new Webhook(generated)]) {
      expect(webhook.verify(body, Object.fromEntries(headers), { jsonParse: false })).toBeUndefined();
    }
  });

  test('agrees on any body, id, time and key', () => {
    const key = fc.uint8Array({ minLength: 16, maxLength: 64 });
    const second = fc.integer({ min: 0, max: 4_102_444_800 });
    fc.assert(
      fc.property(key, second, fc.json(), (bytes, at, text) => {
        const secret = `whsec_${Buffer.from(bytes).toString('base64')}`;
        const headers = signatureHeaders(
          { scheme: 'standard-webhooks' },
          { ...base, secrets: [secret], unixSeconds: at, body: Buffer.from(text) },
        );
        expect(headers[2]?.[1]).toBe(new Webhook(secret).sign('evt_1', new Date(at * 1_000), text));
      }),
    );
  });
});

test('signing without a secret is refused', () => {
  for (const scheme of SIGNATURE_SCHEMES) {
    expect(() => signatureHeaders({ scheme }, { ...base, secrets: [] })).toThrow(RangeError);
  }
});
