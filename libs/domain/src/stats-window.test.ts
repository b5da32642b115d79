import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseWindowMs, STATS_WIDTHS, statsWindow } from './stats-window.js';

const HOUR_MS = 3_600_000;

test.each([
  ['1h', 1],
  ['24h', 24],
  ['30d', 720],
  ['720h', 720],
  ['721h', null],
  ['31d', null],
  ['0h', null],
  ['01h', null],
  ['1', null],
  ['h', null],
  ['1w', null],
  ['1.5h', null],
  ['-1h', null],
  ['1H', null],
  [' 1h', null],
  ['1h ', null],
  ['9999h', null],
  ['', null],
])('%j is a window of %s hours', (text, hours) => {
  expect(parseWindowMs(text)).toBe(hours === null ? null : hours * HOUR_MS);
});

test.each([
  ['1h', 5, 12],
  ['6h', 5, 72],
  ['15h', 5, 180],
  ['24h', 15, 96],
  ['45h', 15, 180],
  ['7d', 60, 168],
  ['200h', 360, 34],
  ['30d', 360, 120],
])('%s has steps of %i minutes, %i of them', (text, stepMinutes, points) => {
  const window = statsWindow(parseWindowMs(text) ?? 0, Date.parse('2026-03-04T05:06:07.890Z'));
  expect(window.stepMs).toBe(stepMinutes * 60_000);
  expect((window.toMs - window.fromMs) / window.stepMs).toBe(points);
});

test('a window ends with the step that is under way, and is not shorter than asked for', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 720 }), fc.integer({ min: 0, max: 4e12 }), (hours, nowMs) => {
      const { fromMs, toMs, stepMs } = statsWindow(hours * HOUR_MS, nowMs);
      expect(toMs - stepMs).toBeLessThanOrEqual(nowMs);
      expect(nowMs).toBeLessThan(toMs);
      expect(Math.abs(fromMs % stepMs)).toBe(0);
      expect(toMs - fromMs).toBeGreaterThanOrEqual(hours * HOUR_MS);
      expect(toMs - fromMs - hours * HOUR_MS).toBeLessThan(stepMs);
    }),
  );
});

test('no window has steps that are finer than what is kept of the time that it reaches back to', () => {
  const nowMs = Date.parse('2026-03-04T05:06:07.890Z');
  for (let hours = 1; hours <= 720; hours++) {
    const { fromMs, stepMs } = statsWindow(hours * HOUR_MS, nowMs);
    const width = STATS_WIDTHS.find(({ olderThanMs }) => fromMs < nowMs - olderThanMs)?.widthMs ?? 0;
    expect(stepMs % width).toBe(0);
  }
});
