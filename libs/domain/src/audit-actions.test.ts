import { expect, test } from '@jest/globals';
import { auditedChange } from './audit-actions.js';

const view = {
  id: 'wh_1',
  url: 'https://a.example',
  headers: { 'X-Key': '***' },
  health: { state: 'idle' },
  updated_at: 't0',
};

test('of a change, the members that differ; what moves by itself is not told', () => {
  const after = { ...view, url: 'https://b.example', health: { state: 'slow' }, updated_at: 't1' };
  expect(auditedChange(view, after)).toEqual({
    before: { url: 'https://a.example' },
    after: { url: 'https://b.example' },
  });
});

test('a hidden value that changed is told, though both views show it alike', () => {
  expect(auditedChange(view, view, ['headers'])).toEqual({
    before: { headers: { 'X-Key': '***' } },
    after: { headers: { 'X-Key': '***' } },
  });
});

test('of what is new or gone, the whole', () => {
  const whole = { id: 'wh_1', url: 'https://a.example', headers: { 'X-Key': '***' } };
  expect(auditedChange(null, view)).toEqual({ before: null, after: whole });
  expect(auditedChange(view, null)).toEqual({ before: whole, after: null });
});
