import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { IdMaker } from '#domain/ids.js';
import { Acceptor, type AcceptRequest } from '#pipeline/accept.js';
import { Claimer } from '#pipeline/claim.js';
import type { Settlement } from '#pipeline/delivery-store.js';
import { InFlight } from '#pipeline/in-flight.js';
import { MicroBatch } from '#pipeline/micro-batch.js';
import { Settler } from '#pipeline/settle.js';
import { FastHintProcessor, SlowHintProcessor } from '#worker/hint-processors.js';
import { Agenda } from '../../bench/simulation/agenda.js';
import { BatchLine } from '../../bench/simulation/batch-line.js';
import type { Linked } from '../../bench/simulation/fifo.js';
import { PIPELINE } from '../../bench/simulation/parameters.js';
import { Random } from '../../bench/simulation/random.js';

// How batches begin in the simulation, and how they do in the pipeline, on a clock that the test turns.

beforeEach(() => {
  // Turned ones would take a millisecond.
  jest.useFakeTimers({ now: 0, doNotFake: ['setImmediate'] });
});

afterEach(() => {
  jest.useRealTimers();
});

type Started = [size: number, atMs: number][];

interface Line {
  readonly itemsMax: number;
  readonly runsMax: number;
  readonly gatherMs: number;
}

/** Whole milliseconds, as timers know no others, and no two at once, which would be two turns of the event loop. */
function arrivals(seed: number, meanMs: number): number[] {
  const random = new Random(seed);
  let atMs = 0;
  return Array.from({ length: 400 }, () => {
    atMs += Math.ceil(random.exponential(meanMs));
    return atMs;
  });
}

const RUN_MS = 7;

async function asBuilt(line: Line, arrivalsMs: readonly number[]): Promise<Started> {
  const started: Started = [];
  const startMs = performance.now();
  const batches = new MicroBatch<number, number>({
    ...line,
    run: (items) => {
      started.push([items.length, performance.now() - startMs]);
      return new Promise((resolve) => setTimeout(() => resolve(items), RUN_MS));
    },
  });
  for (const atMs of arrivalsMs) setTimeout(() => void batches.add(atMs), atMs);
  await jest.advanceTimersByTimeAsync((arrivalsMs.at(-1) ?? 0) + 1_000);
  return started;
}

function simulated(line: Line, arrivalsMs: readonly number[]): Started {
  interface Item extends Linked<Item> {
    readyMs: number;
  }
  const started: Started = [];
  const agenda = new Agenda();
  const batches = new BatchLine<Item>(agenda, {
    ...line,
    start: (batch, nowMs, done) => {
      started.push([batch.size, nowMs]);
      done(nowMs + RUN_MS);
    },
    end: () => undefined,
  });
  for (const atMs of arrivalsMs) batches.add({ next: null, readyMs: 0 }, atMs);
  agenda.runUntil(Infinity);
  return started;
}

test.each([
  { itemsMax: 100, runsMax: 1, gatherMs: 0, meanMs: 2 },
  { itemsMax: 100, runsMax: 1, gatherMs: 10, meanMs: 2 },
  { itemsMax: 100, runsMax: 2, gatherMs: 10, meanMs: 2 },
  { itemsMax: 100, runsMax: 2, gatherMs: 10, meanMs: 15 },
  { itemsMax: 4, runsMax: 2, gatherMs: 10, meanMs: 2 },
  { itemsMax: 4, runsMax: 1, gatherMs: 10, meanMs: 2 },
])('batches begin when those of the pipeline do: %j', async ({ meanMs, ...line }) => {
  const arrivalsMs = arrivals(meanMs, meanMs);
  const simulatedMs = simulated(line, arrivalsMs);
  expect(simulatedMs.length).toBeGreaterThan(50);
  expect(simulatedMs).toEqual(await asBuilt(line, arrivalsMs));
});

/** How far apart two batches of several begin, when the first is done at once. */
async function gatherMsOf(add: () => Promise<unknown>, startedMs: readonly number[]): Promise<number> {
  for (const atMs of [0, 1]) {
    setTimeout(() => void Promise.allSettled([add(), add()]), atMs);
  }
  await jest.advanceTimersByTimeAsync(1_000);
  expect(startedMs).toHaveLength(2);
  return (startedMs[1] ?? NaN) - (startedMs[0] ?? NaN);
}

const ids = () =>
  new IdMaker(
    () => 0,
    (bytes) => new Uint8Array(bytes),
  );

test('accept gathers for as long as it is taken for', async () => {
  const startedMs: number[] = [];
  const refused = (): Promise<never> => {
    startedMs.push(performance.now());
    return Promise.reject(new Error('only the time of the call is wanted'));
  };
  const acceptor = new Acceptor({} as never, { of: refused } as never, {} as never, ids(), {
    willHint: () => false,
    committed: () => undefined,
  });
  const request: AcceptRequest = { apiKeyId: null, events: [], idempotencyKey: null };
  expect(await gatherMsOf(() => acceptor.accept(request), startedMs)).toBe(PIPELINE.acceptGatherMs);
});

test('claims gather for as long as they are taken to', async () => {
  const startedMs: number[] = [];
  const store = {
    claim: () => {
      startedMs.push(performance.now());
      return Promise.resolve([]);
    },
  };
  const claimer = new Claimer(store, ids(), new InFlight(() => 0), 'fast', () => 0, {
    takeBack: () => Promise.resolve(),
  });
  expect(await gatherMsOf(() => claimer.claim('delivery'), startedMs)).toBe(PIPELINE.claimGatherMs);
});

test('settlements gather for as long as they are taken to', async () => {
  const startedMs: number[] = [];
  const store = {
    settle: (settlements: readonly Settlement[]) => {
      startedMs.push(performance.now());
      return Promise.resolve(settlements.map(() => ({ kind: 'final' as const })));
    },
  };
  const faults = { isItems: () => false, isDatabaseAway: () => false };
  const settler = new Settler(store, { retrying: () => undefined }, faults);
  const settlement = { attempt: { responseBody: null } } as Settlement;
  expect(await gatherMsOf(() => settler.settle(settlement), startedMs)).toBe(PIPELINE.settleGatherMs);
});

test.each([FastHintProcessor, SlowHintProcessor])('how many hints %p has in hand', (processor) => {
  const options: unknown = Reflect.getMetadata('bullmq:worker_metadata', processor);
  expect(options).toMatchObject({ concurrency: PIPELINE.hintsAhead });
});
