import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ErrorBody } from '../http/error-answer.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';

let db: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  merchant = await api.merchant();
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

const PAYMENT = {
  type: 'object',
  required: ['amount'],
  properties: {
    amount: { type: 'string', pattern: '^[0-9]+[.][0-9]{2}$' },
    status: { enum: ['paid', 'refunded'] },
    items: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' } } } },
  },
};

interface Page {
  readonly data: readonly { readonly name: string }[];
  readonly next_cursor: string | null;
}

function put(name: string, body: unknown, query = '') {
  return api.call<ErrorBody & Record<string, unknown>>(`PUT /v1/event-types/${name}${query}`, { body });
}

function send(type: string, data: object, fields: object = {}) {
  const body = { merchant_id: merchant.id, type, data, ...fields };
  return api.call('POST /v1/events', { body });
}

function pathsOf({ body }: { readonly body: ErrorBody }): string[] {
  return (body.data as { errors: { path: string }[] }).errors.map(({ path }) => path);
}

describe('the catalogue', () => {
  test('a type is made, read, replaced whole, archived and put into use again', async () => {
    const given = {
      description: 'Money came in',
      schema: PAYMENT,
      example: { amount: '50.00' },
      redact: ['/card/pan'],
      retry_schedule_seconds: [5, 10],
    };
    const made = await put('payment.made', given);
    expect(made).toMatchObject({ status: 200, body: { name: 'payment.made', ...given, archived_at: null } });
    expect(await api.call('GET /v1/event-types/payment.made')).toMatchObject({
      status: 200,
      body: made.body,
    });

    expect(await put('payment.made', {})).toMatchObject({
      status: 200,
      body: {
        description: null,
        schema: null,
        example: null,
        redact: [],
        retry_schedule_seconds: null,
        created_at: made.body['created_at'],
      },
    });
    expect(await api.call('DELETE /v1/event-types/payment.made')).toMatchObject({ status: 204 });
    expect(await api.call('DELETE /v1/event-types/payment.made')).toMatchObject({ status: 204 });
    const archived = await api.call<{ archived_at: string | null }>('GET /v1/event-types/payment.made');
    expect(archived.body.archived_at).toEqual(expect.any(String));
    expect(await put('payment.made', {})).toMatchObject({ body: { archived_at: null } });
  });

  test('schema and example come back byte for byte', async () => {
    const json =
      '{"example":{ "z":1.10, "a":12345678901234567890,"a":2 },"schema":{ "type" : "object","maxProperties":3.0}}';
    await put('bytes.kept', json);
    const { payload } = await api.app.inject({
      method: 'GET',
      url: '/v1/event-types/bytes.kept',
      headers: { authorization: `Bearer ${merchant.key}` },
    });
    expect(payload).toContain('"example":{ "z":1.10, "a":12345678901234567890,"a":2 }');
    expect(payload).toContain('"schema":{ "type" : "object","maxProperties":3.0}');
  });

  test('is listed newest first, page by page, without what is archived; merchants may read it', async () => {
    const names = ['list.a', 'list.b', 'list.c'];
    for (const name of names) await put(name, {});
    await api.call('DELETE /v1/event-types/list.b');
    const list = async (query: string): Promise<string[]> => {
      const seen: string[] = [];
      let cursor = '';
      do {
        const { body } = await api.call<Page>(`GET /v1/event-types?limit=1${query}${cursor}`, {
          key: merchant.key,
        });
        seen.push(...body.data.map(({ name }) => name));
        cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
      } while (cursor !== '');
      return seen;
    };
    expect((await list('')).slice(0, 2)).toEqual(['list.c', 'list.a']);
    expect((await list('&include_archived=true')).slice(0, 3)).toEqual(['list.c', 'list.b', 'list.a']);
    const first = await api.call<Page>('GET /v1/event-types?limit=1');
    const elsewhere = `GET /v1/event-types?include_archived=true&cursor=${first.body.next_cursor}`;
    expect(await api.call(elsewhere)).toMatchObject({ status: 422 });
  });

  test.each([
    ['PUT /v1/event-types/payment.made', 403],
    ['DELETE /v1/event-types/list.a', 403],
    ['GET /v1/event-types/nothing.here', 404],
    ['GET /v1/event-types/not%20a%20name', 404],
  ])('%s with a merchant key is %i', async (target, status) => {
    expect(await api.call(target, { key: merchant.key })).toMatchObject({ status });
  });

  test.each(['nothing.here', 'a..b'])('to archive %s is 404', async (name) => {
    expect(await api.call(`DELETE /v1/event-types/${name}`)).toMatchObject({ status: 404 });
  });
});

describe('what is refused, and changes nothing', () => {
  const nested = (depth: number): object =>
    JSON.parse('{"not":'.repeat(depth) + '{}' + '}'.repeat(depth)) as object;
  test.each<[name: string, body: unknown, paths: string[]]>([
    ['an unknown field', { shema: {} }, ['shema']],
    ['a schema that is none', { schema: { type: 'strnig' } }, ['schema/type']],
    ['a schema that is a list', { schema: [] }, ['schema']],
    ['a schema that is true', { schema: true }, ['schema']],
    [
      'a look-ahead',
      { schema: { properties: { a: { pattern: '(?!a)' } } } },
      ['schema/properties/a/pattern'],
    ],
    [
      'a back-reference in a name',
      { schema: { patternProperties: { '(a)\\1': {} } } },
      ['schema/patternProperties/(a)\\1'],
    ],
    ['a remote $ref', { schema: { $ref: 'http://169.254.169.254/latest' } }, ['schema/$ref']],
    [
      'an unknown keyword',
      { schema: { properties: { a: { nullable: true } } } },
      ['schema/properties/a/nullable'],
    ],
    ['a schema in a circle', { schema: { properties: { a: { $ref: '#' } } } }, ['schema']],
    ['a deep schema', { schema: nested(64) }, ['schema']],
    [
      'a deep schema that would be a deep stack',
      `{"schema":${'{"not":'.repeat(20_000)}{}${'}'.repeat(20_000)}}`,
      ['schema'],
    ],
    ['a large schema', { schema: { description: 'x'.repeat(65_536) } }, ['schema']],
    [
      'an example that breaks the schema',
      { schema: PAYMENT, example: { amount: 1, items: [{ sku: 1 }] } },
      ['example/amount', 'example/items/0/sku'],
    ],
    ['an example that is no object', { example: 'x' }, ['example']],
    ['a pointer that is none', { redact: ['card'] }, ['redact.0']],
    ['a pointer to everything', { redact: [''] }, ['redact.0']],
    ['a pointer with a bad escape', { redact: ['/a~2'] }, ['redact.0']],
    ['a long pointer', { redact: [`/${'x'.repeat(256)}`] }, ['redact.0']],
    ['51 pointers', { redact: Array.from({ length: 51 }, (_, index) => `/${index}`) }, ['redact']],
    [
      'a schedule too long',
      { retry_schedule_seconds: Array.from({ length: 21 }, () => 1) },
      ['retry_schedule_seconds'],
    ],
    ['a wait below nothing', { retry_schedule_seconds: [-1] }, ['retry_schedule_seconds.0']],
    ['a long description', { description: 'x'.repeat(1_001) }, ['description']],
    ['__proto__', '{"__proto__":{"redact":["/a"]}}', ['__proto__']],
  ])('%s', async (_, body, paths) => {
    const answer = await put('refused.type', body);
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
    expect(pathsOf(answer)).toEqual(paths);
    expect(await api.call('GET /v1/event-types/refused.type')).toMatchObject({ status: 404 });
  });

  test('a name that is no type, and a query that is none', async () => {
    expect(pathsOf(await put('a..b', {}))).toEqual(['name']);
    expect(pathsOf(await put('a.b', {}, '?force=yes'))).toEqual(['force']);
    expect(await put('a.b', '{')).toMatchObject({ status: 400 });
  });
});

describe('a change that breaks', () => {
  test('is a conflict that names each place, unless it is forced; what stood goes on', async () => {
    await put('break.it', { schema: PAYMENT });
    const { status: _, ...rest } = PAYMENT.properties;
    const narrower = {
      ...PAYMENT,
      required: ['amount', 'status'],
      properties: { ...rest, status: { enum: ['paid'] }, items: { type: 'array', items: { type: 'null' } } },
    };
    const refused = await put('break.it', { schema: narrower });
    expect(refused).toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect(pathsOf(refused).sort()).toEqual([
      'schema/properties/items/items/type',
      'schema/properties/status/enum',
      'schema/required',
    ]);
    expect(await send('break.it', { amount: '1.00' })).toMatchObject({ status: 202 });
    expect(await put('break.it', { schema: narrower }, '?force=true')).toMatchObject({ status: 200 });
    expect(await send('break.it', { amount: '1.00' })).toMatchObject({ status: 422 });
    // Wider again, and with a new optional member.
    const wider = {
      ...PAYMENT,
      required: [],
      properties: { ...PAYMENT.properties, items: {}, note: { type: 'string' } },
    };
    expect(await put('break.it', { schema: wider })).toMatchObject({ status: 200 });
    expect(await put('break.it', { schema: wider, description: 'the same' })).toMatchObject({ status: 200 });
  });

  test('an archived type is compared as well', async () => {
    await put('break.archived', { schema: PAYMENT });
    await api.call('DELETE /v1/event-types/break.archived');
    expect(await put('break.archived', { schema: { type: 'null' } })).toMatchObject({ status: 409 });
    expect(await api.call('GET /v1/event-types/break.archived')).toMatchObject({
      body: { archived_at: expect.any(String) },
    });
  });
});

describe('accepting events', () => {
  test('data that breaks the schema is refused with JSON Pointers, and nothing is written', async () => {
    await put('payment.paid', { schema: PAYMENT });
    const bad = { amount: 50, status: 'lost', items: [{}, { sku: 1 }] };
    const refused = await send('payment.paid', bad, { id: 'bad-1' });
    expect(refused).toMatchObject({ status: 422, body: { code: 'schema_mismatch' } });
    expect(pathsOf(refused).sort()).toEqual(['data/amount', 'data/items/1/sku', 'data/status']);
    expect(pathsOf(await send('payment.paid', {}))).toEqual(['data/amount']);
    expect(await send('payment.paid', { amount: '50.00' }, { id: 'bad-1' })).toMatchObject({ status: 202 });
  });

  test('in a batch, with the path of the element; the whole batch is refused', async () => {
    const before = await api.database.$queryRaw`SELECT count(*) FROM events`;
    const event = (type: string, data: object) => ({ merchant_id: merchant.id, type, data });
    const events = [
      event('payment.paid', { amount: '1.00' }),
      event('unknown.type', { amount: 1 }),
      event('payment.paid', { amount: 1 }),
      event('payment.paid', {}),
    ];
    const refused = await api.call('POST /v1/events/batch', { body: { events } });
    expect(refused).toMatchObject({ status: 422, body: { code: 'schema_mismatch' } });
    expect(pathsOf(refused)).toEqual(['events.2.data/amount', 'events.3.data/amount']);
    expect(await api.database.$queryRaw`SELECT count(*) FROM events`).toEqual(before);
  });

  test('one bad request does not take those with it that share its commit', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send('payment.paid', index % 2 === 0 ? { amount: '1.00' } : { amount: 1 }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(
      answers.map((_, index) => (index % 2 === 0 ? 202 : 422)),
    );
  });

  test('archived types are refused, unknown ones taken', async () => {
    await put('old.type', { schema: PAYMENT });
    await api.call('DELETE /v1/event-types/old.type');
    const refused = await send('old.type', {});
    expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
    expect(pathsOf(refused)).toEqual(['type']);
    expect(await send('never.heard.of', {})).toMatchObject({ status: 202 });
    expect(await send('constructor', {})).toMatchObject({ status: 202 });
  });

  test('what was accepted is answered as it was, whatever the catalogue says by now', async () => {
    await put('repeat.it', {});
    const first = await send('repeat.it', { n: 1 }, { id: 'again' });
    const keyed = { key: api.platformKey, headers: { 'idempotency-key': 'again-by-key' } };
    const body = { merchant_id: merchant.id, type: 'repeat.it', data: { n: 2 } };
    const byKey = await api.call('POST /v1/events', { ...keyed, body });
    expect([first.status, byKey.status]).toEqual([202, 202]);

    await put('repeat.it', { schema: { required: ['m'] } });
    expect(await send('repeat.it', { n: 1 }, { id: 'again' })).toEqual({
      ...first,
      headers: expect.anything(),
    });
    expect(await api.call('POST /v1/events', { ...keyed, body })).toMatchObject({ body: byKey.body });
    expect(await send('repeat.it', { n: 3 }, { id: 'again' })).toMatchObject({
      status: 409,
      body: { code: 'idempotency_conflict' },
    });
    expect(await send('repeat.it', { n: 3 })).toMatchObject({
      status: 422,
      body: { code: 'schema_mismatch' },
    });
    await api.call('DELETE /v1/event-types/repeat.it');
    expect(await send('repeat.it', { n: 1 }, { id: 'again' })).toMatchObject({
      status: 202,
      body: first.body,
    });
  });

  test('an unknown merchant is told before a broken schema', async () => {
    const nobody = { merchant_id: 'mrc_01h455vb4pex5vsknk084sn02q' };
    expect(await send('payment.paid', {}, nobody)).toMatchObject({ status: 404 });
  });

  test('no answer repeats a value', async () => {
    const refused = await send('payment.paid', { amount: '4111111111111111', status: '4111111111111111' });
    expect(refused.status).toBe(422);
    expect(JSON.stringify(refused.body)).not.toContain('4111111111111111');
  });
});
