import { expect, test } from '@jest/globals';
import { Agenda } from '../../bench/simulation/agenda.js';
import { BatchLine } from '../../bench/simulation/batch-line.js';
import { Connection } from '../../bench/simulation/connection.js';
import type { Fifo, Linked } from '../../bench/simulation/fifo.js';
import { Random } from '../../bench/simulation/random.js';
import { Servers } from '../../bench/simulation/servers.js';

// The parts of the simulation against what queueing theory says of them.

const ARRIVALS = 300_000;
const SERVICE_MS = 2;

/** The mean wait in the line of a queue of Poisson arrivals. */
function meanWaitMs(servers: number, load: number, serviceMs: (random: Random) => number): number {
  const random = new Random(7);
  const agenda = new Agenda();
  const line = new Servers(servers);
  const betweenMs = SERVICE_MS / (servers * load);
  let left = ARRIVALS;
  let waitedMs = 0;
  const arrive = (_: null, nowMs: number): void => {
    const service = serviceMs(random);
    waitedMs += line.serve(nowMs, service) - service - nowMs;
    if (--left > 0) agenda.at(nowMs + random.exponential(betweenMs), arrive, null);
  };
  agenda.at(0, arrive, null);
  agenda.runUntil(Infinity);
  return waitedMs / ARRIVALS;
}

/** Of servers with exponential service: the probability that an arrival has to wait. */
function erlangC(servers: number, load: number): number {
  const offered = servers * load;
  let term = 1;
  let sum = 1;
  for (let busy = 1; busy < servers; busy++) {
    term *= offered / busy;
    sum += term;
  }
  const all = (term * offered) / servers / (1 - load);
  return all / (sum + all);
}

const exponential = (random: Random): number => random.exponential(SERVICE_MS);
const fixed = (): number => SERVICE_MS;

test.each([0.3, 0.6, 0.9])('M/M/1 at a load of %d', (load) => {
  const expected = (load * SERVICE_MS) / (1 - load);
  expect(meanWaitMs(1, load, exponential) / expected).toBeCloseTo(1, 1);
});

test.each([0.3, 0.6, 0.9])('M/D/1 at a load of %d: half of that', (load) => {
  const expected = (load * SERVICE_MS) / (2 * (1 - load));
  expect(meanWaitMs(1, load, fixed) / expected).toBeCloseTo(1, 1);
});

test.each([
  [2, 0.7],
  [16, 0.8],
])('M/M/%d at a load of %d, by Erlang', (servers, load) => {
  const expected = (erlangC(servers, load) * SERVICE_MS) / (servers * (1 - load));
  expect(meanWaitMs(servers, load, exponential) / expected).toBeCloseTo(1, 1);
});

test('servers are busy for what they were given', () => {
  const line = new Servers(2);
  expect([line.serve(0, 5), line.serve(0, 3), line.serve(1, 2), line.serve(10, 1)]).toEqual([5, 3, 5, 11]);
  expect(line.busyMs).toBe(11);
});

test('things happen in the order of time, whenever they were noted', () => {
  const random = new Random(3);
  const agenda = new Agenda();
  const lived: number[] = [];
  const noted: number[] = [];
  const live = (more: number, nowMs: number): void => {
    lived.push(nowMs);
    for (let index = 0; index < more; index++) {
      const atMs = nowMs + random.uniform() * 100;
      noted.push(atMs);
      agenda.at(atMs, live, random.below(2));
    }
  };
  for (let index = 0; index < 3_000; index++) {
    const atMs = random.uniform() * 1_000;
    noted.push(atMs);
    agenda.at(atMs, live, index % 4);
  }
  agenda.runUntil(1_050);
  const due = noted.filter((atMs) => atMs <= 1_050).toSorted((a, b) => a - b);
  expect(due.length).toBeGreaterThan(4_000);
  expect(lived).toEqual(due);
});

test('what comes while a batch is under way is the next batch, up to its bound', () => {
  interface Item extends Linked<Item> {
    readyMs: number;
  }
  const agenda = new Agenda();
  const started: [size: number, atMs: number][] = [];
  const line = new BatchLine<Item>(agenda, {
    itemsMax: 3,
    runsMax: 1,
    start: (batch: Fifo<Item>, nowMs, done) => {
      started.push([batch.size, nowMs]);
      done(nowMs + 10);
    },
    end: () => undefined,
  });
  for (const readyMs of [0, 1, 2, 3, 4, 25, 60]) line.add({ next: null, readyMs: 0 }, readyMs);
  agenda.runUntil(100);
  expect(started).toEqual([
    [1, 0],
    [3, 10],
    [1, 20],
    [1, 30],
    [1, 60],
  ]);
});

test('statements of one connection run one after the other, with no way there and back between them', () => {
  const agenda = new Agenda();
  const TRIP_MS = 3;
  const connection = new Connection(agenda, TRIP_MS);
  const lived: [begunMs: number, answeredMs: number][] = [];
  const send = (serviceMs: number, nowMs: number): void => {
    let begunMs = NaN;
    const run = (atMs: number): number => (begunMs = atMs) + serviceMs;
    connection.query(run, (answeredMs) => lived.push([begunMs, answeredMs]), nowMs);
  };
  for (const [atMs, serviceMs] of [
    [0, 10],
    [1, 5],
    [2, 5],
    [40, 5],
  ] as const)
    agenda.at(atMs, send, serviceMs);
  agenda.runUntil(Infinity);
  expect(lived).toEqual([
    [0, 10 + TRIP_MS],
    [10, 15 + TRIP_MS],
    [15, 20 + TRIP_MS],
    [40, 45 + TRIP_MS],
  ]);
});

test('a connection of fixed services is M/D/1', () => {
  const random = new Random(11);
  const agenda = new Agenda();
  const connection = new Connection(agenda, 0);
  const load = 0.7;
  let left = ARRIVALS;
  let waitedMs = 0;
  const arrive = (_: null, nowMs: number): void => {
    const run = (begunMs: number): number => {
      waitedMs += begunMs - nowMs;
      return begunMs + SERVICE_MS;
    };
    connection.query(run, () => undefined, nowMs);
    if (--left > 0) agenda.at(nowMs + random.exponential(SERVICE_MS / load), arrive, null);
  };
  agenda.at(0, arrive, null);
  agenda.runUntil(Infinity);
  const expected = (load * SERVICE_MS) / (2 * (1 - load));
  expect(waitedMs / ARRIVALS / expected).toBeCloseTo(1, 1);
});
