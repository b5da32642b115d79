import { expect, test } from '@jest/globals';
import type { Target } from './delivery-store.js';
import { Targets } from './targets.js';

const ENDPOINT = '01900000-0000-7000-8000-000000000001';
const TARGET: Target = {
  version: 1n,
  url: 'http://127.0.0.1/',
  timeoutMs: 1_000,
  signatures: [],
  retryScheduleSeconds: [],
  secrets: ['old', 'new'],
  privateKeys: [],
  liveForMs: 5_000,
  acknowledgement: { successStatuses: null, requiredResponse: null },
  headers: [],
  clientCertificate: null,
  hasOwnSchedule: false,
};

function targetsOf(...answers: readonly Target[]) {
  const clock = { nowMs: 1_000_000 };
  let loads = 0;
  const store = {
    loadTargets: () => {
      loads += 1;
      const target = answers[Math.min(loads, answers.length) - 1] as Target;
      return Promise.resolve(new Map([[ENDPOINT, target]]));
    },
  };
  const targets = new Targets(store, () => clock.nowMs);
  const of = (endpointVersion = 1n) => targets.of({ endpointId: ENDPOINT, endpointVersion });
  return { clock, of, loads: () => loads };
}

test('a secret that has ended is not used again, although no version was raised', async () => {
  const { clock, of, loads } = targetsOf(TARGET, { ...TARGET, secrets: ['new'], liveForMs: null });
  expect((await of())?.secrets).toEqual(['old', 'new']);
  clock.nowMs += 4_999;
  expect((await of())?.secrets).toEqual(['old', 'new']);
  expect(loads()).toBe(1);
  clock.nowMs += 1;
  expect((await of())?.secrets).toEqual(['new']);
  clock.nowMs += 1e9;
  expect((await of())?.secrets).toEqual(['new']);
  expect(loads()).toBe(2);
});

test('another version is loaded anew', async () => {
  const { of, loads } = targetsOf(TARGET, { ...TARGET, version: 2n });
  await of();
  expect((await of(2n))?.version).toBe(2n);
  await of(2n);
  expect(loads()).toBe(2);
});
