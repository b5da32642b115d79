/*
 * What a cursor that was not made for a list does there: nothing. Each is offered to the function that all lists page
 * with, on a statement that fails the test when it is run.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ApiError } from '../http/api-error.js';
import { Cursors, type ListIdentity } from './cursors.js';
import { type FoundPage, readPage, readSearchPage } from './page.js';

const cursors = new Cursors(new Uint8Array(32).fill(7));
const LIST: ListIdentity = {
  list: 'deliveries',
  merchantId: '01934f2a-0000-7000-8000-000000000002',
  filters: { status: 'failed' },
};
const CURSOR = cursors.make(LIST, '01934f2a-0000-7000-8000-000000000001');
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** How a list answers a cursor; `rows`: it went and looked. */
async function answerOf(list: ListIdentity, cursor: string): Promise<number | 'rows'> {
  const looks: string[] = [];
  const rows = (): Promise<readonly { id: string }[]> => {
    looks.push(cursor);
    return Promise.resolve([]);
  };
  try {
    await readPage(cursors, list, { limit: 5, cursor }, rows, (row) => row);
  } catch (error) {
    if (!(error instanceof ApiError) || looks.length > 0) throw error;
    expect(error.data).toEqual({ errors: [{ path: 'cursor', message: expect.any(String) }] });
    return error.status;
  }
  return 'rows';
}

test('its own cursor leads to rows', async () => {
  expect(await answerOf(LIST, CURSOR)).toBe('rows');
});

describe('a search', () => {
  const [first = '', second = '', third = '', beyond = ''] = [8, 6, 4, 2].map(
    (n) => `01934f2a-0000-7000-8000-00000000000${n}`,
  );

  async function pageOf(found: FoundPage<string>): Promise<{ data: unknown[]; nextId: string | null }> {
    const rows = found.rows.map((id) => ({ id }));
    const page = await readSearchPage(
      cursors,
      LIST,
      { limit: 2 },
      () => Promise.resolve({ ...found, rows }),
      ({ id }) => id,
    );
    const { data, next_cursor: next } = page;
    return { data, nextId: next === null ? null : cursors.read(LIST, next) };
  }

  test.each<[string, FoundPage<string>, unknown]>([
    ['all there is', { rows: [first], searchedToId: null }, { data: [first], nextId: null }],
    [
      'a full page and more',
      { rows: [first, second, third], searchedToId: null },
      { data: [first, second], nextId: second },
    ],
    ['some so far', { rows: [first], searchedToId: beyond }, { data: [first], nextId: beyond }],
    [
      'as many as a page holds so far',
      { rows: [first, second], searchedToId: beyond },
      { data: [first, second], nextId: beyond },
    ],
    ['nothing so far', { rows: [], searchedToId: beyond }, { data: [], nextId: beyond }],
    ['nothing', { rows: [], searchedToId: null }, { data: [], nextId: null }],
  ])('that found %s', async (_, found, page) => {
    expect(await pageOf(found)).toEqual(page);
  });
});

describe('refused with 422, and nothing is looked up', () => {
  test('each single bit flipped', async () => {
    const bytes = Buffer.from(CURSOR, 'base64url');
    expect(bytes).toHaveLength(32);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect([bit, await answerOf(LIST, flipped.toString('base64url'))]).toEqual([bit, 422]);
    }
  });

  test('each character replaced by each other one, left out, or doubled', async () => {
    for (let at = 0; at < CURSOR.length; at += 1) {
      const [before, own = '', after] = [CURSOR.slice(0, at), CURSOR[at], CURSOR.slice(at + 1)];
      const others = Array.from(`${BASE64URL}+/= .%`, (other) => other).filter((other) => other !== own);
      for (const other of [...others, '', own + own]) {
        const altered = before + other + after;
        if (altered !== CURSOR) expect([altered, await answerOf(LIST, altered)]).toEqual([altered, 422]);
      }
    }
  });

  test('spellings that a decoder forgives', async () => {
    for (const altered of [
      `${CURSOR}=`,
      `${CURSOR}==`,
      ` ${CURSOR}`,
      `${CURSOR}\n`,
      `${CURSOR}AAAA`,
      '',
      '=',
    ]) {
      expect(await answerOf(LIST, altered)).toBe(422);
    }
  });

  test('anything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.base64String()), async (text) => {
        expect(await answerOf(LIST, text)).toBe(422);
      }),
    );
  });

  test('a cursor of another list, another merchant or other filters', async () => {
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.constant(undefined));
    const identity = fc.record({
      list: fc.oneof(fc.constantFrom('deliveries', 'events', 'webhooks'), fc.string({ unit: 'binary' })),
      merchantId: fc.oneof(fc.uuid(), fc.constant(null)),
      filters: fc.dictionary(fc.string({ unit: 'binary' }), value, { maxKeys: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(identity, identity, fc.uuid(), async (a, b, id) => {
        fc.pre(!isSame(a, b));
        const cursor = cursors.make(a, id);
        expect(await answerOf(a, cursor)).toBe('rows');
        expect(await answerOf(b, cursor)).toBe(422);
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, ListIdentity]>([
    ['text moved from the name to the merchant', { list: 'deliveries"', merchantId: null, filters: {} }],
    ['a filter that looks like two', { ...LIST, filters: { 'status":"failed","x': 'y' } }],
    ['a number for a text', { ...LIST, filters: { status_code: 500 } }],
    ['an empty text for none', { ...LIST, filters: { status: '' } }],
    ['null for none', { ...LIST, filters: { ...LIST.filters, outcome: null } }],
  ])('%s', async (_, list) => {
    expect(await answerOf(list, CURSOR)).toBe(422);
    expect(
      await answerOf({ ...LIST, filters: { status_code: '500' } }, cursors.make(list, LIST.merchantId ?? '')),
    ).toBe(422);
  });
});

function isSame(a: ListIdentity, b: ListIdentity): boolean {
  const textOf = ({ list, merchantId, filters = {} }: ListIdentity): string =>
    JSON.stringify([
      list,
      merchantId,
      Object.keys(filters)
        .filter((name) => filters[name] !== undefined)
        .sort()
        .map((name) => [name, filters[name]]),
    ]);
  return textOf(a) === textOf(b);
}
