import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { installEnvironmentKey } from '#adapters/postgres/api-keys.js';
import { connectDatabase } from '#adapters/postgres/database.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import { generateApiKey, hashApiKey, shownPrefix } from '#adapters/secrets/api-key-text.js';
import { IdMaker } from '#domain/ids.js';
import { createLogger } from '#observability/logger.js';
import { createMetrics } from '#observability/metrics.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import { createApi } from './create-api.js';

const db = connectDatabase('postgres://posthorn@127.0.0.1:54329/h4', 4);
let app: NestFastifyApplication;
const key = generateApiKey(randomBytes);
beforeAll(async () => {
  const clock = new DatabaseClock();
  const idMaker = new IdMaker(() => clock.nowMs(), randomBytes);
  await installEnvironmentKey(db, { id: idMaker.uuid(), keyHash: hashApiKey(key), prefix: shownPrefix(key) });
  const encryptionKey = randomBytes(32);
  app = await createApi({
    database: db,
    secretBox: new AesGcmSecretBox([{ id: 'k1', key: encryptionKey }]),
    egressPolicy: null as never,
    hintQueue: { add: async () => undefined },
    databaseClock: clock,
    idMaker,
    cursorSecret: encryptionKey,
    headerPrefix: 'X-Posthorn',
    logger: createLogger({ level: 'warn', name: 't' }),
    metrics: createMetrics(),
    readinessChecks: [],
    version: '0.1.0',
  });
});
afterAll(async () => {
  await app?.close();
  await db.$disconnect();
});
test('x', async () => {
  const auth = { authorization: `Bearer ${key}` };
  const show = async (o: object) => {
    const r = await app.inject(o);
    console.log(JSON.stringify(o), r.statusCode, JSON.stringify(r.headers), r.body.slice(0, 600));
    return r;
  };
  await show({ url: '/healthz' });
  await show({ url: '/readyz' });
  await show({ url: '/nope' });
  await show({ url: '/v1/%zz' });
  await show({ method: 'PUT', url: '/v1/merchants' });
  await show({ method: 'OPTIONS', url: '/v1/merchants/x' });
  await show({ method: 'POST', url: '/v1/merchants', headers: { 'content-type': 'garbage' }, payload: '{' });
  await show({
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'garbage' },
    payload: '{',
  });
  await show({
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'application/json' },
    payload: '{',
  });
  await show({
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'application/json' },
    payload: '[]',
  });
  await show({
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'application/json' },
    payload: '{"name":"","__proto__":1,"constructor":2,"metadata":{"a":1}}',
  });
  await show({
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'application/json' },
    payload: 'x'.repeat(600000),
  });
  const ext = String(Math.random());
  const p = {
    method: 'POST',
    url: '/v1/merchants',
    headers: { ...auth, 'content-type': 'application/json', 'idempotency-key': ext },
    payload: JSON.stringify({ name: 'A', external_id: ext, metadata: { a: 'b' } }),
  };
  const r = await show(p);
  await show(p);
  await show({ ...p, payload: '{"name":"b"}' });
  await show({ ...p, headers: { ...p.headers, 'idempotency-key': 'k' + ext } });
  const id = r.json().id;
  await show({ url: '/v1/merchants/' + id, headers: auth });
  await show({ url: '/v1/merchants?limit=1', headers: auth });
  await show({ url: '/v1/merchants?limit=0&x=1', headers: auth });
  await show({ url: '/v1/merchants?cursor=abc', headers: auth });
  await show({ method: 'PATCH', url: '/v1/merchants/' + id, headers: auth });
  await show({
    method: 'POST',
    url: `/v1/merchants/${id}/api-keys`,
    headers: { ...auth, 'content-type': 'application/json' },
    payload: '{"name":"k","scopes":["admin"]}',
  });
  await show({
    method: 'POST',
    url: `/v1/merchants/${id}/api-keys`,
    headers: { ...auth, 'content-type': 'application/json' },
    payload: '{"name":"k"}',
  });
  await show({ method: 'DELETE', url: `/v1/merchants/${id}`, headers: auth });
  const doc = (await app.inject('/openapi.json')).body;
  console.log(doc.match(/"#\/components[^"]*"/g));
  await show({ url: '/docs' });
  await show({ url: '/docs/swagger-ui.css' });
  expect(1).toBe(1);
});
