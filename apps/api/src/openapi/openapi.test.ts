import { readFile } from 'node:fs/promises';
import type { OpenAPIObject } from '@nestjs/swagger';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { RouteTable } from '../http/route-table.js';
import { operationsOf } from './document.js';
import { errorsPage } from './errors-page.js';

let db: TestDatabase;
let api: ApiUnderTest;
let document: OpenAPIObject;
let served: string[] = [];

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  ({ body: document } = await api.call<OpenAPIObject>('GET /openapi.json', { key: null }));
  served = api.app.get(RouteTable).all();
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

/** Pages for browsers, and another name of /v1/deliveries: no client is generated for them. */
const UNDOCUMENTED = [
  'GET /deliveries',
  'GET /openapi.json',
  'GET /docs',
  'GET /docs/start.js',
  'GET /docs/{asset}',
];

function operations() {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    operationsOf(item).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
  );
}

test('says what it is', () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  expect(document.info).toMatchObject({ title: 'Posthorn', version: '0.0.0-test' });
});

test('every route is documented and nothing else is', () => {
  const routes = served
    .filter((route) => !route.startsWith('HEAD '))
    .map((route) => route.replace(/:(\w+)/g, '{$1}'));
  expect(
    operations()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(routes.filter((route) => !UNDOCUMENTED.includes(route)).sort());
});

test('every operation has what a generated client needs', () => {
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { name, operation } of operations()) {
    const isOurs = name.includes(' /v1') || name.includes(' /deliveries');
    const success = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
    expect({
      name,
      id: /^[a-z][A-Za-z]+$/.test(operation.operationId ?? ''),
      summary: (operation.summary ?? '') !== '',
      scopes: operation.security?.map((needed) => (needed['bearer'] ?? []).length > 0),
      successes: success.length,
      failures:
        Object.keys(operation.responses).filter((status) => status >= '400').length > (isOurs ? 4 : -1),
      bodyIsNamed:
        operation.requestBody === undefined || JSON.stringify(operation.requestBody).includes('"$ref"'),
    }).toEqual({
      name,
      id: true,
      summary: true,
      scopes: isOurs ? [true] : undefined,
      successes: 1,
      failures: true,
      bodyIsNamed: true,
    });
    for (const [status, response] of success) {
      if (status !== '204')
        expect({ name, response }).toMatchObject({ response: { content: expect.anything() } });
    }
  }
});

test('an operation names the scopes that it needs', () => {
  const needed = Object.fromEntries<unknown>(
    operations().map(({ operation }) => [operation.operationId ?? '', operation.security?.[0]?.['bearer']]),
  );
  expect(needed).toMatchObject({
    createMerchant: ['admin'],
    sendEvent: ['events:write'],
    listEvents: ['deliveries:read'],
    updateWebhook: ['webhooks:write'],
    getHealth: undefined,
  });
});

test('parameters: each of the path once and required, no name twice in one place', () => {
  for (const { name, operation } of operations()) {
    const parameters = (operation.parameters ?? []).map((parameter) => resolve(parameter) as Parameter);
    const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
    expect(
      parameters
        .filter((parameter) => parameter.in === 'path')
        .map((parameter) => parameter.name)
        .sort(),
    ).toEqual(inPath.sort());
    expect(parameters.every((parameter) => parameter.in !== 'path' || parameter.required === true)).toBe(
      true,
    );
    const places = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
    expect(new Set(places).size).toBe(places.length);
  }
});

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
}

test('429 and 503 of every call with a key say when to come back, and 429 and success what is left of the rate', () => {
  const refused = operations().filter(({ operation }) => operation.security !== undefined);
  expect(refused.length).toBeGreaterThan(20);
  for (const { name, operation } of refused) {
    const headers = Object.fromEntries(
      Object.entries(operation.responses)
        .filter(([status]) => /^(2..|429|503)$/.test(status))
        .map(([status, response]) => [status.startsWith('2') ? '2xx' : status, headersOf(response).sort()]),
    );
    const rate = ['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'];
    expect({ name, headers }).toEqual({
      name,
      headers: {
        '2xx': [...rate, 'X-Request-Id'],
        '429': [...rate, 'Retry-After', 'X-Request-Id'],
        '503': ['Retry-After', 'X-Request-Id'],
      },
    });
  }
});

function headersOf(response: object | undefined): string[] {
  return response !== undefined && 'headers' in response ? Object.keys(response.headers as object) : [];
}

test('every reference leads somewhere, and every schema is led to', () => {
  const references = new Set(
    [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref = '']) => ref),
  );
  for (const ref of references)
    expect({ ref, target: resolve({ $ref: ref }) }).not.toEqual({ ref, target: undefined });
  const named = Object.keys(document.components?.schemas ?? {}).map((name) => `#/components/schemas/${name}`);
  expect(named.filter((name) => !references.has(name))).toEqual([]);
});

function resolve(value: object): unknown {
  if (!('$ref' in value) || typeof value.$ref !== 'string') return value;
  return value.$ref
    .split('/')
    .slice(1)
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document);
}

test('schemas are JSON Schema 2020-12: nothing of OpenAPI 3.0 is left in them', () => {
  const text = JSON.stringify(document);
  expect(text).not.toMatch(/"nullable":|"exclusiveM(?:in|ax)imum":(?:true|false)|"\$defs"|"\$schema"/);
});

test('the page comes from here and asks nobody else', async () => {
  const page = await api.call<string>('GET /docs', { key: null });
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link = '']) => link);
  expect(links).toHaveLength(4);
  for (const link of links) {
    expect(link).toMatch(/^\/docs\//);
    expect(await api.call(`GET ${link}`, { key: null })).toMatchObject({ status: 200 });
  }
});

test('docs/errors.md is what errorsPage makes', async () => {
  const page = new URL('../../../../docs/errors.md', import.meta.url);
  expect(await readFile(page, 'utf8')).toBe(errorsPage());
});
