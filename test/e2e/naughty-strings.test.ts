/*
 * Every naughty string, and some of our own, in every place that takes a text: bodies, paths, queries, headers. Against
 * a real API, worker and receiver; nothing is doubled. Each place is judged by itself (see offer.ts): what the contract
 * admits must come back exactly as given, and reach the receiver where it goes there; the rest must be refused in the
 * one shape. Not asserted: the words of a refusal.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';
import { refusalProblems, refusedPaths } from './error-shape.js';
import {
  EVENT_PLACES,
  FILTERS,
  KEY_PLACES,
  MERCHANT_PLACES,
  NAUGHTY_HEADER,
  NEW_WEBHOOK_PLACES,
  urlPlace,
  WEBHOOK_CHANGE_PLACES,
} from './naughty-places.js';
import { type Body, notShown, offer, type Offered, type Place } from './offer.js';
import { StoredState } from './stored-state.js';
import { inParallel, Wire, type WireAnswer, type WireCall } from './wire.js';

const LIST = join(import.meta.dirname, '..', 'corpora', 'naughty-strings.json');
/** On both sides of every limit of a text, in characters of one, two and four bytes. */
const LENGTHS = [15, 16, 40, 41, 128, 129, 200, 201, 255, 256, 257, 500, 501];
const LONG = LENGTHS.flatMap((length) =>
  ['x', '\u0436', '\u{1f4ef}'].map((character) => character.repeat(length)),
);
// prettier-ignore
const OWN = [
  '\0', 'nul \0 inside', '\ud800', '\udfff and more', 'the wrong way \udc00\ud800', '\uffff', '\ufffe', '\ufeff',
  '\u{10ffff}', '\u2028', '\u2029', '\u0085', '\u200e\u202emixed \u05d0\u05d1\u05d2', '\u0627\u0644\u0639\u0631\u0628\u064a\u0629',
  '\u1e9e\u00df\u017f\u0130\u0131', 'e\u0301', '\u00e9', '\u212b', 'p\u0430yment', '\uff50ayment.success', ' leading', 'trailing ', '\t', '\r\n', 'a\r\nx: y',
  '__proto__', 'constructor', 'prototype', 'toString', '..', '.', '/', '%', '%00', '%2e%2e', '***', '*', 'payment.*', '*.payment', 'payment.*.x',
  'whsec_', 'mrc_00000000000000000000000000', 'host', '?', '#', '&', '=', '{}', '[]', 'null', '\\', '"', "'", '\u0001', '\u007f', '\u0080', '\u00ff',
];
const suite = JSON.parse(readFileSync(LIST, 'utf8')) as readonly string[];
const strings = [...new Set([...suite, ...OWN, ...LONG])];

/** Fewer than a merchant may have. */
const WEBHOOKS_A_MERCHANT = 150;
const WIDTH = 24;

type ReceivedRequest = Receiver['requests'][number];

let installation: Installation;
let receiver: Receiver;
let wire: Wire;
let state: StoredState;

beforeAll(async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  [installation, receiver] = await Promise.all([startInstallation({ queue }), startReceiver()]);
  wire = new Wire(installation.client.url, installation.platformKey);
  state = new StoredState(installation.database.databaseUrl);
}, 60_000);

afterAll(async () => {
  await Promise.all([wire.close(), state.close()]);
  await installation.close();
  await receiver.close();
}, 30_000);

/** Does the work for every string and expects that nothing is to be said against any of them. */
async function forEachString(
  work: (text: string, index: number) => Promise<readonly string[]>,
  texts: readonly string[] = strings,
): Promise<void> {
  const problems: string[] = [];
  await inParallel(texts.entries(), WIDTH, async ([index, text]) => {
    for (const problem of await work(text, index))
      problems.push(`${JSON.stringify(text).slice(0, 80)}: ${problem}`);
  });
  expect(problems).toEqual([]);
  await expectAlive();
}

async function expectAlive(): Promise<void> {
  expect(await wire.call({ method: 'GET', path: '/healthz', key: null })).toMatchObject({ status: 200 });
  const processes = [...installation.apis, ...installation.workers];
  expect(processes.map(({ child }) => child.exitCode)).toEqual([null, null]);
  expect(processes.flatMap(({ lines }) => lines).filter((line) => /"level":[56]0/.test(line))).toEqual([]);
}

/** Offers the text, and looks at what was accepted once more with a GET. */
async function offerAndRead(
  call: WireCall & { readonly body: Body },
  readPath: string | null,
  places: readonly Place[],
  text: string,
): Promise<Offered & { readonly id: string }> {
  const offered = await offer(wire, call, places, text);
  if (offered.accepted === null) return { ...offered, id: '' };
  const view = viewOf(offered.accepted.answer);
  const problems = [...offered.problems, ...notShown(offered.accepted.places, view, text)];
  const id = String(view['id']);
  if (readPath !== null) {
    const read = await wire.call({ method: 'GET', path: readPath.replace(':id', id) });
    problems.push(...notShown(offered.accepted.places, viewOf(read), text));
  }
  return { accepted: offered.accepted, problems, id };
}

function viewOf(answer: WireAnswer): Body {
  return JSON.parse(answer.text) as Body;
}

function at(path: string, places: readonly Place[] | undefined, text: string): boolean {
  return places?.some((place) => place.path(text) === path) === true;
}

test('merchants', async () => {
  await forEachString(async (text) => {
    const create = { method: 'POST', path: '/v1/merchants', body: { name: 'a merchant' } } as const;
    const created = await offerAndRead(create, '/v1/merchants/:id', MERCHANT_PLACES, text);
    const path = `/v1/merchants/${created.id}`;
    const changed = await offerAndRead({ method: 'PATCH', path, body: {} }, path, MERCHANT_PLACES, text);
    return [...created.problems, ...changed.problems.map((problem) => `PATCH ${problem}`)];
  });
}, 60_000);

test('API keys', async () => {
  const owner = await installation.client.newMerchant();
  const names = new Set<string>();
  const lists = ['/v1/api-keys', `/v1/merchants/${owner}/api-keys`];
  await forEachString(async (text) => {
    const offers = await Promise.all(
      lists.map((path) =>
        offerAndRead({ method: 'POST', path, body: { name: 'a key' } }, null, KEY_PLACES, text),
      ),
    );
    for (const { accepted } of offers)
      names.add(String(viewOf(accepted?.answer ?? { status: 0, headers: {}, text: '{}' })['name']));
    return offers.flatMap(({ problems }) => problems);
  });
  for (const path of lists)
    expect(new Set(await namesIn(path))).toEqual(new Set([...names, ...(await environmentKeys(path))]));
}, 60_000);

async function environmentKeys(path: string): Promise<unknown[]> {
  return path === '/v1/api-keys'
    ? state.values("SELECT name FROM api_keys WHERE source = 'environment'", [])
    : [];
}

async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const page = viewOf(await wire.call({ method: 'GET', path: `${path}?limit=200${query}` })) as unknown as {
      data: { name: string }[];
      next_cursor: string | null;
    };
    names.push(...page.data.map(({ name }) => name));
    cursor = page.next_cursor;
  }
  return names;
}

test('webhooks, what is sent to them, and their changes', async () => {
  const merchants = await Promise.all(
    Array.from({ length: Math.ceil(strings.length / WEBHOOKS_A_MERCHANT) }, () =>
      installation.client.newMerchant(),
    ),
  );
  const base = receiver.url('/naughty/');
  const accepted = new Map<number, readonly Place[]>();
  const ids = new Map<string, string>();
  await forEachString(async (text, index) => {
    const body = {
      merchant_id: merchants[Math.floor(index / WEBHOOKS_A_MERCHANT)],
      url: base,
      events: ['*'],
      headers: { 'X-Index': String(index) },
    };
    const places = [urlPlace(base), ...NEW_WEBHOOK_PLACES];
    const created = await offerAndRead(
      { method: 'POST', path: '/v1/webhooks', body },
      '/v1/webhooks/:id',
      places,
      text,
    );
    ids.set(text, created.id);
    accepted.set(index, created.accepted?.places ?? []);
    const secret = created.accepted === null ? '' : viewOf(created.accepted.answer)['secret'];
    const isGiven = at('secret', created.accepted?.places, text);
    const foreign = await wire.call({
      method: 'POST',
      path: '/v1/webhooks',
      body: { ...body, merchant_id: text },
    });
    return [
      ...created.problems,
      ...(isGiven && secret !== text ? [`secret came back as ${String(secret)}`] : []),
      ...refusalProblems(foreign),
      ...(foreign.status === 404 ? [] : [`merchant_id was answered ${foreign.status}`]),
    ];
  });

  await Promise.all(merchants.map((merchantId) => installation.client.sendEvent(merchantId)));
  await eventually(() => {
    expect(receiver.requests).toHaveLength(strings.length);
  }, 30_000);
  const problems = receiver.requests.flatMap((request) => {
    const index = Number(request.headers['x-index']);
    const text = strings[index] as string;
    return sentProblems(request, accepted.get(index), base, text).map(
      (problem) => `${JSON.stringify(text).slice(0, 80)}: ${problem}`,
    );
  });
  expect(problems).toEqual([]);
  expect(new Set(receiver.requests.map(({ headers }) => headers['x-index'])).size).toBe(strings.length);

  await forEachString(async (text) => {
    const path = `/v1/webhooks/${ids.get(text)}`;
    // The header that has the text as its name would be in the way of a signature in it.
    const change = { method: 'PATCH', path, body: { headers: {} } } as const;
    return (await offerAndRead(change, path, [urlPlace(base), ...WEBHOOK_CHANGE_PLACES], text)).problems;
  });
}, 120_000);

function sentProblems(
  request: ReceivedRequest,
  places: readonly Place[] | undefined,
  base: string,
  text: string,
): string[] {
  const problems: string[] = [];
  const { pathname, search } = new URL(at('url', places, text) ? base + text : base);
  if (request.path !== pathname + search) problems.push(`the path was ${request.path}`);
  // In the raw ones, because Node keeps parsed headers in an object that cannot have a member __proto__.
  if (at(`headers.${text}`, places, text) && !hasRawHeader(request, text, 'given'))
    problems.push('the header with its name is missing');
  // Blanks around a value are not part of it (RFC 9110, 5.5).
  const value = request.headers[NAUGHTY_HEADER.toLowerCase()];
  if (at(`headers.${NAUGHTY_HEADER}`, places, text) && value !== text.replace(/^[ \t]+|[ \t]+$/g, ''))
    problems.push(`the header was ${String(value)}`);
  return problems;
}

function hasRawHeader({ rawHeaders }: ReceivedRequest, name: string, value: string): boolean {
  return rawHeaders.some(
    (text, index) => index % 2 === 0 && text === name && rawHeaders[index + 1] === value,
  );
}

test('a URL that is nothing but the string', async () => {
  const merchantId = await installation.client.newMerchant();
  await forEachString(async (text) => {
    const body = { merchant_id: merchantId, url: text, events: ['*'] };
    const answer = await wire.call({ method: 'POST', path: '/v1/webhooks', body });
    if (answer.status === 201)
      return viewOf(answer)['url'] === text && URL.canParse(text) ? [] : [answer.text];
    return [...refusalProblems(answer), ...(refusedPaths(answer).join() === 'url' ? [] : [answer.text])];
  });
}, 60_000);

test('events, and what their receiver gets', async () => {
  const merchantId = await installation.client.newMerchant();
  await installation.client.newWebhook(merchantId, receiver.url('/events'));
  const data = new Map<string, string>();
  await forEachString(async (text) => {
    const body = {
      merchant_id: merchantId,
      type: 'naughty.strings',
      data: JSON.parse(memberJson(text)) as unknown,
    };
    const sent = await offerAndRead({ method: 'POST', path: '/v1/events', body }, null, EVENT_PLACES, text);
    data.set(sent.id, memberJson(text));
    if (!at('ordering_key', sent.accepted?.places, text)) return sent.problems;
    const isKept =
      (
        await state.values(
          'SELECT 1 FROM events WHERE merchant_id = $1::uuid AND ordering_key = $2 LIMIT 1',
          [parseId(ID_PREFIXES.merchant, merchantId), text],
        )
      ).length === 1;
    return isKept ? sent.problems : [...sent.problems, 'the ordering key was not kept'];
  });
  const received = (): ReceivedRequest[] => receiver.requests.filter(({ path }) => path === '/events');
  await eventually(() => {
    expect(received()).toHaveLength(strings.length);
  }, 30_000);
  const problems = received().filter(({ headers, body }) => {
    const expected = data.get(String(headers['x-posthorn-event-id']));
    return expected === undefined || !body.toString().endsWith(`,"data":${expected}}`);
  });
  expect(problems.map(({ body }) => body.toString())).toEqual([]);
}, 120_000);

/** An object with the text as name and value of its one member. */
function memberJson(text: string): string {
  return `{${JSON.stringify(text)}:${JSON.stringify(text)}}`;
}

/** Node takes 16 KiB of head at most, and a query here has the text up to eight times. */
const ENCODED_LENGTH_MAX = 1_900;
/** What a URL can carry. */
const encodable = strings.filter(
  (text) => text.isWellFormed() && encodeURIComponent(text).length <= ENCODED_LENGTH_MAX,
);

test('ids in paths', async () => {
  const merchantId = await installation.client.newMerchant();
  const calls: readonly Pick<WireCall, 'method' | 'path'>[] = [
    { method: 'GET', path: '/v1/merchants/:id' },
    { method: 'PATCH', path: '/v1/merchants/:id' },
    { method: 'DELETE', path: '/v1/merchants/:id' },
    { method: 'POST', path: '/v1/merchants/:id/api-keys' },
    { method: 'DELETE', path: `/v1/merchants/${merchantId}/api-keys/:id` },
    { method: 'DELETE', path: '/v1/api-keys/:id' },
    { method: 'GET', path: '/v1/webhooks/:id' },
    { method: 'PATCH', path: '/v1/webhooks/:id' },
    { method: 'GET', path: '/v1/webhooks/:id/deliveries' },
    { method: 'GET', path: '/v1/deliveries/:id' },
    { method: 'POST', path: '/v1/deliveries/:id/retry' },
  ];
  const before = await state.settledDigest();
  await forEachString(async (text) => {
    const problems: string[] = [];
    for (const { method, path } of calls) {
      const answer = await wire.call({ method, path: path.replace(':id', () => encodeURIComponent(text)) });
      const found = [
        ...refusalProblems(answer),
        ...(answer.status === 404 ? [] : [`answered ${answer.status}`]),
      ];
      problems.push(...found.map((problem) => `${method} ${path}: ${problem}`));
    }
    return problems;
  }, encodable);
  expect(await state.digest()).toEqual(before);
}, 120_000);

test('queries', async () => {
  const merchantId = await installation.client.newMerchant();
  const { id } = await installation.client.newWebhook(merchantId, receiver.url('/'));
  const get = (path: string): Promise<WireAnswer> => wire.call({ method: 'GET', path });
  const expectRefusal = (answer: WireAnswer, status: number, path: string | null): string[] => [
    ...refusalProblems(answer),
    ...(answer.status === status ? [] : [`${path}: answered ${answer.status}`]),
    ...(path === null || refusedPaths(answer).join() === path ? [] : [`${path}: ${answer.text}`]),
  ];
  await forEachString(async (text, index) => {
    const list = ['/v1/deliveries', '/deliveries', `/v1/webhooks/${id}/deliveries`][index % 3] as string;
    const value = encodeURIComponent(text);
    const queryOf = (names: readonly string[]): string => names.map((name) => `${name}=${value}`).join('&');
    const all = await get(`${list}?${queryOf(Object.keys(FILTERS))}`);
    const refused = refusedPaths(all);
    const misjudged = Object.entries(FILTERS)
      .filter(([name, admits]) => admits(text) === refused.includes(name))
      .map(([name]) => `${name} was ${refused.includes(name) ? 'refused' : 'accepted'}`);
    const rest = await get(
      `${list}?${queryOf(Object.keys(FILTERS).filter((name) => !refused.includes(name)))}`,
    );
    return [
      ...expectRefusal(all, 422, null),
      ...misjudged,
      ...(rest.status === 200 ? [] : [`the rest was answered ${rest.text}`]),
      // Whether a merchant that is not there has an empty log or none is left open.
      ...(text.startsWith('mrc_') ? [] : expectRefusal(await get(`${list}?merchant_id=${value}`), 404, null)),
      ...expectRefusal(await get(`/v1/deliveries?webhook_id=${value}`), 404, null),
      ...expectRefusal(await get(`${list}?cursor=${value}`), 422, 'cursor'),
      ...(text === '' ? [] : expectRefusal(await get(`/v1/merchants?${value}=1`), 422, text)),
    ];
  }, encodable);
}, 120_000);

test('the Idempotency-Key', async () => {
  await forEachString(async (text) => {
    // As clients send what is not ASCII: in UTF-8, a byte a character.
    const value = Buffer.from(text).toString('latin1');
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) return [];
    const call = { method: 'POST', path: '/v1/merchants', headers: { 'idempotency-key': value } } as const;
    const first = await wire.call({ ...call, body: { name: 'once' } });
    const isAdmitted = /^[\x20-\x7e]{1,255}$/.test(value.replace(/^[ \t]+|[ \t]+$/g, ''));
    if (!isAdmitted) {
      const isRefused = first.status === 422 && refusedPaths(first).join() === 'Idempotency-Key';
      return [...refusalProblems(first), ...(isRefused ? [] : [`answered ${first.status} ${first.text}`])];
    }
    const again = await wire.call({ ...call, body: { name: 'once' } });
    const other = await wire.call({ ...call, body: { name: 'twice' } });
    const answers = [first.status, again.status, other.status].join();
    return [
      ...(answers === '201,201,409' ? [] : [`answered ${answers}`]),
      ...(again.text === first.text ? [] : ['the second answer is another one']),
      ...refusalProblems(other),
    ];
  }, distinctKeys());
}, 60_000);

/** Strings that are the same without the blanks around them are one key. */
function distinctKeys(): string[] {
  return [...new Map(encodable.map((text) => [text.replace(/^[ \t]+|[ \t]+$/g, ''), text])).values()];
}

test('texts of 400 KB are refused where they stand, and of 1 MB as a whole', async () => {
  const merchantId = await installation.client.newMerchant();
  const { id } = await installation.client.newWebhook(merchantId, receiver.url('/'));
  const webhook = { merchant_id: merchantId, url: receiver.url('/'), events: ['*'] };
  const event = { merchant_id: merchantId, type: 'naughty.strings', data: {} };
  const calls: readonly [WireCall & { body: Body }, readonly Place[]][] = [
    [{ method: 'POST', path: '/v1/merchants', body: { name: 'a merchant' } }, MERCHANT_PLACES],
    [{ method: 'PATCH', path: `/v1/merchants/${merchantId}`, body: {} }, MERCHANT_PLACES],
    [{ method: 'POST', path: '/v1/api-keys', body: { name: 'a key' } }, KEY_PLACES],
    [
      { method: 'POST', path: '/v1/webhooks', body: webhook },
      [urlPlace(receiver.url('/')), ...NEW_WEBHOOK_PLACES],
    ],
    [{ method: 'PATCH', path: `/v1/webhooks/${id}`, body: {} }, WEBHOOK_CHANGE_PLACES],
    [{ method: 'POST', path: '/v1/events', body: event }, EVENT_PLACES],
  ];
  const before = await state.settledDigest();
  const problems: string[] = [];
  for (const [call, places] of calls) {
    for (const place of places) {
      for (const character of ['x', '\u{1f4ef}']) {
        for (const [bytes, status] of [
          [400_000, 422],
          [1_000_000, 413],
        ] as const) {
          const text = character.repeat(bytes / Buffer.byteLength(character));
          const body = structuredClone(call.body);
          place.put(body, text);
          const answer = await wire.call({ ...call, body });
          const isNamed =
            status === 413 ||
            refusedPaths(answer).some((path) => path === place.path(text) || path === 'headers');
          const found = [
            ...refusalProblems(answer),
            ...(answer.status === status && isNamed ? [] : [`${answer.status} ${answer.text.slice(0, 200)}`]),
          ];
          problems.push(
            ...found.map((problem) => `${call.method} ${call.path} ${place.path('<text>')}: ${problem}`),
          );
        }
      }
    }
  }
  expect(problems).toEqual([]);
  expect(await state.digest()).toEqual(before);
  await expectAlive();
}, 60_000);
