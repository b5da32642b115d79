import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { TEST_CERTIFICATE } from '#testkit/receiver/test-certificate.js';
import {
  TEST_CLIENT_AUTHORITY,
  TEST_CLIENT_CERTIFICATES,
} from '#testkit/receiver/test-client-certificates.js';
import { type ApiAnswer, type ApiUnderTest, startApi } from '../api-harness.js';
import type { WebhookView } from './webhook.schema.js';

const HTTPS = 'https://127.0.0.1:9/hook';
const { shopA, shopB, expired } = TEST_CLIENT_CERTIFICATES;
const A = { certificate: shopA.certificate, private_key: shopA.privateKey };
const B = { certificate: shopB.certificate, private_key: shopB.privateKey };
const A_SHOWN = {
  subject: 'CN=shop-a.test, O=Shop A',
  fingerprint_sha256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
  expires_at: '2120-01-01T00:00:00.000Z',
};

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let api: ApiUnderTest;
let key: string;
const lines: string[] = [];

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  const logTo = { write: (line: string) => void lines.push(line) };
  api = await startApi({ databaseUrl: testDatabase.databaseUrl, logTo });
  ({ key } = await api.merchant());
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await api.close();
  await testDatabase.drop();
});

function post<Body = WebhookView>(fields: object): Promise<ApiAnswer<Body>> {
  return api.call<Body>('POST /v1/webhooks', { key, body: { url: HTTPS, events: ['*'], ...fields } });
}

function patch<Body = WebhookView>(id: string, body: object): Promise<ApiAnswer<Body>> {
  return api.call<Body>(`PATCH /v1/webhooks/${id}`, { key, body });
}

test('is taken, shown without its key, kept, replaced and taken away', async () => {
  const { status, body } = await post({ client_certificate: A });
  expect({ status, shown: body.client_certificate }).toEqual({ status: 201, shown: A_SHOWN });
  const read = await api.call(`GET /v1/webhooks/${body.id}`, { key });
  expect(read.body).toMatchObject({ client_certificate: A_SHOWN });
  const list = await api.call('GET /v1/webhooks', { key });
  expect(JSON.stringify([body, read.body, list.body])).not.toMatch(/PRIVATE KEY|BEGIN/);

  await expect(patch(body.id, { timeout_ms: 2_000 })).resolves.toMatchObject({
    status: 200,
    body: { client_certificate: A_SHOWN },
  });
  await expect(patch(body.id, { client_certificate: B })).resolves.toMatchObject({
    status: 200,
    body: { client_certificate: { subject: 'CN=shop-b.test, O=Shop B' } },
  });
  await expect(patch(body.id, { client_certificate: null })).resolves.toMatchObject({
    status: 200,
    body: { client_certificate: null },
  });
});

test('may come with the certificates that lead to it', async () => {
  const certificate = `\n${shopA.certificate}\n${TEST_CLIENT_AUTHORITY}\n`;
  await expect(post({ client_certificate: { ...A, certificate } })).resolves.toMatchObject({
    status: 201,
    body: { client_certificate: A_SHOWN },
  });
});

const pem = { type: 'pkcs8', format: 'pem' } as const;
const publicPem = { type: 'spki', format: 'pem' } as const;
const encrypted = generateKeyPairSync('ec', {
  namedCurve: 'prime256v1',
  privateKeyEncoding: { ...pem, cipher: 'aes-256-cbc', passphrase: 'hunter2' },
  publicKeyEncoding: publicPem,
});
const weak = generateKeyPairSync('rsa', {
  modulusLength: 1_024,
  privateKeyEncoding: pem,
  publicKeyEncoding: publicPem,
});
const otherCurve = generateKeyPairSync('ec', {
  namedCurve: 'secp256k1',
  privateKeyEncoding: pem,
  publicKeyEncoding: publicPem,
});

describe('is refused', () => {
  test.each<[string, string, unknown]>([
    ['a text', 'client_certificate', shopA.certificate],
    ['no key', 'client_certificate.private_key', { certificate: A.certificate }],
    ['no certificate', 'client_certificate.certificate', { private_key: A.private_key }],
    ['a passphrase', 'client_certificate.passphrase', { ...A, passphrase: 'hunter2' }],
    ['numbers', 'client_certificate.certificate', { certificate: 1, private_key: 2 }],
    ['an empty certificate', 'client_certificate.certificate', { ...A, certificate: '' }],
    ['no PEM', 'client_certificate.certificate', { ...A, certificate: 'MIIB' }],
    [
      'a certificate cut short',
      'client_certificate.certificate',
      { ...A, certificate: A.certificate.slice(0, 200) },
    ],
    [
      'another certificate’s insides',
      'client_certificate.certificate',
      { ...A, certificate: A.certificate.replace(/MII.{40}/, 'MII') },
    ],
    [
      'text before it',
      'client_certificate.certificate',
      { ...A, certificate: `subject=x\n${A.certificate}` },
    ],
    ['NUL after it', 'client_certificate.certificate', { ...A, certificate: `${A.certificate}\0` }],
    [
      'the key with it',
      'client_certificate.certificate',
      { ...A, certificate: A.certificate + A.private_key },
    ],
    ['six certificates', 'client_certificate.certificate', { ...A, certificate: A.certificate.repeat(6) }],
    [
      '16 KiB of them',
      'client_certificate.certificate',
      { ...A, certificate: A.certificate + ' '.repeat(16_384) },
    ],
    [
      'an expired one',
      'client_certificate.certificate',
      { certificate: expired.certificate, private_key: expired.privateKey },
    ],
    ['a public key', 'client_certificate.private_key', { ...A, private_key: weak.publicKey }],
    ['a certificate as key', 'client_certificate.private_key', { ...A, private_key: A.certificate }],
    ['an encrypted key', 'client_certificate.private_key', { ...A, private_key: encrypted.privateKey }],
    ['a weak key', 'client_certificate.private_key', { ...A, private_key: weak.privateKey }],
    ['a key of another kind', 'client_certificate.private_key', { ...A, private_key: otherCurve.privateKey }],
    [
      'a key that is too long',
      'client_certificate.private_key',
      { ...A, private_key: A.private_key + ' '.repeat(4_096) },
    ],
    ['another’s key', 'client_certificate.private_key', { ...A, private_key: B.private_key }],
    ['this receiver’s own', 'client_certificate.private_key', { ...A, private_key: TEST_CERTIFICATE.key }],
  ])('%s', async (_what, path, clientCertificate) => {
    const before = await api.database.endpoint.count();
    const { status, body } = await post<{ code: string; data: { errors: { path: string }[] } }>({
      client_certificate: clientCertificate,
    });
    expect({ status, code: body.code }).toEqual({ status: 422, code: 'invalid_request' });
    expect(body.data.errors.map((error) => error.path)).toContain(path);
    expect(JSON.stringify(body)).not.toMatch(/BEGIN|hunter2/);
    expect(await api.database.endpoint.count()).toBe(before);
  });

  const onlyHttps = { status: 422, body: { data: { errors: [{ path: 'client_certificate' }] } } };

  test('with a plain http url, whichever of the two comes later', async () => {
    const http = { url: 'http://127.0.0.1:9/hook' };
    await expect(post({ ...http, client_certificate: A })).resolves.toMatchObject(onlyHttps);
    const plain = await post(http);
    await expect(patch(plain.body.id, { client_certificate: A })).resolves.toMatchObject(onlyHttps);
    await expect(patch(plain.body.id, { client_certificate: A, url: HTTPS })).resolves.toMatchObject({
      status: 200,
    });
    await expect(patch(plain.body.id, http)).resolves.toMatchObject(onlyHttps);
    await expect(patch(plain.body.id, { ...http, client_certificate: null })).resolves.toMatchObject({
      status: 200,
    });
  });
});

test('an RSA key of 2,048 bits fits, one of another size does not', async () => {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    privateKeyEncoding: pem,
    publicKeyEncoding: publicPem,
  });
  const answer = await post<{ data: { errors: { message: string }[] } }>({
    client_certificate: { ...A, private_key: privateKey },
  });
  expect(answer.body.data.errors.map(({ message }) => message)).toEqual([
    'is not the key of the certificate',
  ]);
});

test('no key reaches a log line', () => {
  expect(lines.length).toBeGreaterThan(20);
  expect(lines.join('')).not.toMatch(/PRIVATE KEY/);
});
