/*
 * Every file of the JSON suite, against a real API, worker and receiver: as a whole request body, and spliced byte for
 * byte into an event as its `data` and as a member of its `data`. Doubled: nothing. What must happen is worked out
 * from the text of the files by the platform's own decoder and parser, which share no code with the API's.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';
import { readError, refusalProblems, refusedPaths } from './error-shape.js';
import { StoredState } from './stored-state.js';
import { inParallel, Wire, type WireAnswer, type WireCall } from './wire.js';

const SUITE = join(import.meta.dirname, '..', 'corpora', 'json-test-suite', 'test_parsing');
const CREATED_AT = '2026-04-02T05:01:20.5+01:00';
const TYPE = 'json.suite';
/** The contract's. */
const DATA_DEPTH_MAX = 1_000;
const WIDTH = 16;

interface SuiteFile {
  readonly name: string;
  readonly bytes: Buffer;
}

const files: readonly SuiteFile[] = readdirSync(SUITE)
  .sort()
  .map((name) => ({ name, bytes: readFileSync(join(SUITE, name)) }));

let installation: Installation;
let receiver: Receiver;
let wire: Wire;
let state: StoredState;
let merchantId: string;
let webhookId: string;

beforeAll(async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  [installation, receiver] = await Promise.all([startInstallation({ queue }), startReceiver()]);
  const { client } = installation;
  wire = new Wire(client.url, installation.platformKey);
  state = new StoredState(installation.database.databaseUrl);
  merchantId = await client.newMerchant();
  for (const payload_format of ['envelope', 'raw', 'flat']) {
    const { id } = await client.newWebhook(merchantId, receiver.url(`/${payload_format}`), {
      payload_format,
    });
    if (payload_format === 'raw') webhookId = id;
  }
}, 60_000);

afterAll(async () => {
  await Promise.all([wire.close(), state.close()]);
  await installation.close();
  await receiver.close();
}, 30_000);

test('the suite is there whole', () => {
  const kinds = files.map(({ name }) => name.slice(0, 2));
  expect(kinds.filter((kind) => kind === 'y_')).toHaveLength(95);
  expect(kinds.filter((kind) => kind === 'n_')).toHaveLength(188);
  expect(kinds.filter((kind) => kind === 'i_')).toHaveLength(35);
  for (const { name, bytes } of files) {
    if (!name.startsWith('i_'))
      expect([name, parse(bytes) !== INVALID]).toEqual([name, name.startsWith('y_')]);
  }
});

describe('as a whole body', () => {
  test('is refused in the one shape by every call, and changes nothing', async () => {
    const before = await state.digest();
    const targets: readonly Pick<WireCall, 'method' | 'path'>[] = [
      { method: 'POST', path: '/v1/events' },
      { method: 'POST', path: '/v1/events/batch' },
      { method: 'POST', path: '/v1/webhooks' },
      { method: 'POST', path: '/v1/merchants' },
      { method: 'PATCH', path: `/v1/webhooks/${webhookId}` },
    ];
    const calls = files.flatMap((file) => targets.map((target) => ({ file, target })));
    const problems: string[] = [];
    const accepted: string[] = [];
    await inParallel(calls, WIDTH, async ({ file, target }) => {
      const answer = await wire.call({ ...target, body: file.bytes });
      if (answer.status < 300) {
        accepted.push(`${target.method} ${file.name}`);
        return;
      }
      const isEmpty = file.bytes.byteLength === 0;
      const expected = !isEmpty && parse(file.bytes) === INVALID ? 'malformed_json' : 'invalid_request';
      for (const problem of problemsOf(answer, expected))
        problems.push(`${target.method} ${target.path} ${file.name}: ${problem}`);
    });
    expect(problems).toEqual([]);
    // An empty body counts as {}.
    expect(accepted.sort()).toEqual(['PATCH n_structure_no_data.json', 'PATCH y_object_empty.json']);
    expect(await state.digest()).toEqual(before);
    await expectAlive();
  });
});

describe.each([
  ['as data', (file: SuiteFile) => file.bytes],
  [
    "as a member of data's",
    (file: SuiteFile) => Buffer.concat([Buffer.from('{"v": '), file.bytes, Buffer.from('\t}')]),
  ],
])('%s', (kind, dataOf) => {
  const idOf = (file: SuiteFile): string => `${kind.length}:${files.indexOf(file)}`;
  const eventOf = (file: SuiteFile): Buffer =>
    Buffer.concat([
      Buffer.from(
        JSON.stringify({
          merchant_id: merchantId,
          type: TYPE,
          id: idOf(file),
          created_at: CREATED_AT,
        }).replace(/\}$/, ',"data":'),
      ),
      dataOf(file),
      Buffer.from('}'),
    ]);

  test('what the contract admits is delivered byte for byte, the rest is refused', async () => {
    const seenBefore = receiver.requests.length;
    const problems: string[] = [];
    const accepted: SuiteFile[] = [];
    await inParallel(files, WIDTH, async (file) => {
      const answer = await wire.call({ method: 'POST', path: '/v1/events', body: eventOf(file) });
      const refusal = refusalOf(eventOf(file));
      if (refusal === null) {
        accepted.push(file);
        if (answer.status !== 202) problems.push(`${file.name}: ${answer.status} ${answer.text}`);
        return;
      }
      for (const problem of problemsOf(answer, refusal)) problems.push(`${file.name}: ${problem}`);
      if (refusal === 'invalid_request' && refusedPaths(answer).join() !== 'data')
        problems.push(`${file.name}: the paths are ${refusedPaths(answer).join()}`);
    });
    expect(problems).toEqual([]);
    expect(accepted).toHaveLength(kind === 'as data' ? 13 : 116);

    const expected = accepted.flatMap((file) => {
      const data = trimmed(dataOf(file));
      return [
        `/envelope ${bytesOf('{"id":', JSON.stringify(idOf(file)), `,"type":"${TYPE}","created_at":"${CREATED_AT}","data":`, data, '}')}`,
        `/raw ${bytesOf(data)}`,
        `/flat ${bytesOf(`{"type":"${TYPE}","timestamp":"${CREATED_AT}"`, ...flatMembers(data))}`,
      ];
    });
    await eventually(() => {
      expect(receiver.requests.length - seenBefore).toBeGreaterThanOrEqual(expected.length);
    }, 20_000);
    const received = receiver.requests.slice(seenBefore).map(({ path, body }) => `${path} ${bytesOf(body)}`);
    expect(new Set(received)).toEqual(new Set(expected));
    await expectAlive();
  }, 40_000);

  test('the log shows the same bytes', async () => {
    const accepted = files.filter((file) => refusalOf(eventOf(file)) === null);
    const problems: string[] = [];
    await inParallel(accepted, WIDTH, async (file) => {
      const path = `/v1/deliveries?webhook_id=${webhookId}&event_id=${encodeURIComponent(idOf(file))}`;
      const list = JSON.parse((await wire.call({ method: 'GET', path })).text) as { data: { id: string }[] };
      const detail = await eventually(async () => {
        const answer = await wire.call({ method: 'GET', path: `/v1/deliveries/${list.data[0]?.id}` });
        expect(JSON.parse(answer.text)).toMatchObject({ attempts: [{ outcome: 'succeeded' }] });
        return answer;
      });
      const data = trimmed(dataOf(file)).toString();
      const { attempts } = JSON.parse(detail.text) as { attempts: [{ request: { body: string } }] };
      if (!detail.text.includes(`"data":${data}`)) problems.push(`${file.name}: the event is ${detail.text}`);
      if (attempts[0].request.body !== data)
        problems.push(`${file.name}: the request is ${attempts[0].request.body}`);
    });
    expect(problems).toEqual([]);
  }, 20_000);

  test('a batch of it is judged alike, and what was accepted already is the same event', async () => {
    const before = await state.settledDigest();
    const problems: string[] = [];
    await inParallel(files, WIDTH, async (file) => {
      const body = Buffer.concat([Buffer.from('{"events":[\n'), eventOf(file), Buffer.from('\r]}')]);
      const answer = await wire.call({ method: 'POST', path: '/v1/events/batch', body });
      const refusal = refusalOf(eventOf(file));
      if (refusal === null) {
        if (answer.status !== 202) problems.push(`${file.name}: ${answer.status} ${answer.text}`);
        return;
      }
      for (const problem of problemsOf(answer, refusal)) problems.push(`${file.name}: ${problem}`);
      if (refusal === 'invalid_request' && refusedPaths(answer).join() !== 'events.0.data')
        problems.push(`${file.name}: the paths are ${refusedPaths(answer).join()}`);
    });
    expect(problems).toEqual([]);
    expect(await state.digest()).toEqual(before);
    await expectAlive();
  });
});

const INVALID = Symbol('not JSON in UTF-8');

/** As RFC 8259 reads it: no byte-order mark, no invalid UTF-8. `JSON.parse` of the platform is exact on text. */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return INVALID;
  }
}

/** The code that the contract has for an event with this body; null: it is admitted. */
function refusalOf(event: Uint8Array): 'malformed_json' | 'invalid_request' | null {
  const value = parse(event);
  if (value === INVALID) return 'malformed_json';
  const { data } = value as { data: unknown };
  const isObject = typeof data === 'object' && data !== null && !Array.isArray(data);
  return isObject && depthOf(data) <= DATA_DEPTH_MAX ? null : 'invalid_request';
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

function problemsOf(answer: WireAnswer, code: string): string[] {
  const found = readError(answer.text)?.code;
  return [
    ...refusalProblems(answer),
    ...(found === code ? [] : [`${answer.status} ${String(found)}, not ${code}`]),
  ];
}

/** Without the blanks around the value, which are the event's and not the data's. */
function trimmed(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''), 'latin1');
}

function flatMembers(data: Buffer): readonly (Buffer | string)[] {
  return /^\{[ \t\r\n]*\}$/.test(data.toString()) ? ['}'] : [',', data.subarray(1)];
}

/** Comparable, readable for the most part, and different for different bytes. */
function bytesOf(...parts: readonly (Buffer | string)[]): string {
  return Buffer.concat(parts.map((part) => Buffer.from(part as string))).toString('latin1');
}

async function expectAlive(): Promise<void> {
  expect(await wire.call({ method: 'GET', path: '/healthz', key: null })).toMatchObject({ status: 200 });
  const processes = [...installation.apis, ...installation.workers];
  expect(processes.map(({ child }) => child.exitCode)).toEqual([null, null]);
  const failures = processes.flatMap(({ lines }) => lines).filter((line) => /"level":[56]0/.test(line));
  expect(failures).toEqual([]);
}
