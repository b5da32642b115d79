import { expect, test } from '@jest/globals';
import { ApiError } from '../http/api-error.js';
import { Cursors, type ListIdentity } from './cursors.js';

const SECRET = new Uint8Array(32).fill(1);
const ID = '01934f2a-0000-7000-8000-000000000001';
const OTHER_ID = '01934f2a-0000-7000-8000-000000000002';
const list: ListIdentity = {
  list: 'deliveries',
  merchantId: OTHER_ID,
  filters: { status: 'failed', event_type: 'payment.success' },
};
const cursors = new Cursors(SECRET);
const cursor = cursors.make(list, ID);

test('a cursor leads back to its row, in every process that has the same secret', () => {
  expect(cursors.read(list, cursor)).toBe(ID);
  expect(new Cursors(SECRET).read(list, cursor)).toBe(ID);
});

test('filters are the same in any order, and a filter left out is one that is undefined', () => {
  const filters = { event_type: 'payment.success', outcome: undefined, status: 'failed' };
  expect(cursors.read({ ...list, filters }, cursor)).toBe(ID);
});

test.each<[string, ListIdentity]>([
  ['another list', { ...list, list: 'webhooks' }],
  ['another merchant', { ...list, merchantId: ID }],
  ['no merchant', { ...list, merchantId: null }],
  ['another filter', { ...list, filters: { status: 'pending', event_type: 'payment.success' } }],
  ['one filter less', { ...list, filters: { status: 'failed' } }],
  ['no filters', { list: list.list, merchantId: list.merchantId }],
])('%s refuses it', (_, other) => {
  expect(() => cursors.read(other, cursor)).toThrow(ApiError);
});

test('another secret, another id, a character more or less or changed', () => {
  expect(() => new Cursors(new Uint8Array(32).fill(2)).read(list, cursor)).toThrow(ApiError);
  const bytes = Buffer.from(cursor, 'base64url');
  const forged = Buffer.concat([Buffer.from(OTHER_ID.replaceAll('-', ''), 'hex'), bytes.subarray(16)]);
  for (const wrong of [
    '',
    cursor.slice(1),
    `${cursor}A`,
    forged.toString('base64url'),
    cursor.replace(/.$/, '!'),
    `B${cursor.slice(1)}`,
  ]) {
    expect(() => cursors.read(list, wrong)).toThrow(ApiError);
  }
});
