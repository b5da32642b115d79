import { FAST_SLOTS, InFlight, SLOW_AFTER_MS, SLOW_SLOTS } from '#pipeline/in-flight.js';
import { HINT_DELIVERIES_MAX } from '#pipeline/hint-queue.js';
import { SLOW_LANE_MS } from '#pipeline/delivery-store.js';

/** What is simulated. */
export const LOAD = {
  merchants: 10_000,
  eventsPerSecond: 100_000,
  /** The rate of the merchant of rank k goes with 1 / k^this. At 0.9 the first has 6% of everything and the last third 10%. */
  zipfExponent: 0.9,
  /** A merchant has an endpoint for each so many events a second; each takes some of the types. */
  eventsOfEndpointMax: 1_000,
  /** Of the merchants after the first ten, spread evenly over the ranks. What is left of 1 behaves well. */
  shares: { slow: 0.02, hanging: 0.01, flaky: 0.01, dead: 0.01 },
  wellBehavedRanks: 10,
  /** Merchants up to this rank are called fat, the others ordinary. */
  fatRanks: 100,
  /** This one, for a while, sends so many times as much. */
  burst: { rank: 200, factor: 100 },
} as const;

/** How receivers answer, in milliseconds. Assumed, after what such receivers are known to do. */
export const RECEIVERS = {
  /** Endpoints differ by their median, requests of one around it. */
  medianMsMin: 50,
  medianMsMax: 150,
  /** Of the logarithm: p95 is 2.3 times the median. */
  sigma: 0.5,
  slowMsMin: 1_000,
  slowMsMax: 5_000,
  /** The default `timeout_ms` of a webhook. */
  timeoutMs: 10_000,
  /** Of a flaky one's answers, so many are a 500. */
  flakyFailures: 0.3,
  /** A connection that is refused. */
  deadMs: 20,
} as const;

/** The default `max_in_flight` of a webhook, and the most that the API takes. */
export const IN_FLIGHT_DEFAULT = 100;
export const IN_FLIGHT_MAX = 1_000;
/** Whoever gets much has asked for so many times what is in flight on average. */
export const IN_FLIGHT_HEADROOM = 4;

/** `libs/pipeline/src/in-flight.ts`: exported, or asked of the class itself. */
export const SLOTS = sharesOfSlots();
export const SLOW_AFTER = { ms: SLOW_AFTER_MS, laneMs: SLOW_LANE_MS } as const;

/** Repeated from files that keep them to themselves. A test compares what can be seen from outside. */
export const PIPELINE = {
  /** accept.ts */
  requestsPerCommitMax: 500,
  acceptCommitsAtOnce: 2,
  acceptGatherMs: 8,
  /** hint-queue.ts */
  hintDeliveriesMax: HINT_DELIVERIES_MAX,
  /** apps/worker/src/hint-processors.ts: hints of a lane in hand that wait for slots. */
  hintsAhead: FAST_SLOTS / HINT_DELIVERIES_MAX,
  /** claim.ts */
  claimsPerStatementMax: 192,
  claimStatementsAtOnce: 1,
  claimGatherMs: 10,
  /** settle.ts */
  settlementsPerCommitMax: 256,
  settleCommitsAtOnce: 1,
  settleGatherMs: 10,
  /** in-flight.ts: what has ended since the last look counts so many times as room. */
  turnoverFactor: 2,
  /** dispatch.ts */
  sweepMax: { fast: 1_000, slow: 500 },
  /** apps/worker/src/sweeps.ts */
  sweepMs: 1_000,
  busySweepMs: 100,
  drainSweepMs: 20,
  slowLookMs: 250,
  repeaterJitter: 0.1,
} as const;

/** hint-budget.ts */
export const HINT_BUDGET = {
  boundStart: 1_000,
  boundMin: 500,
  boundMax: 5_000,
  endpointShare: 0.25,
  merchantShare: 0.5,
  shareWindowMs: 1_000,
  lookEveryMs: 200,
} as const;

/** What is tried: the same rules, with three changes. */
export const AMENDED = {
  /** Gates are locked and written last. */
  gateLockShare: 0.05,
  /** About the last twenty attempts decide. */
  slowWeight: 0.05,
  /** A tenth of them: no tail of a quick receiver, and known after three when every attempt hangs. */
  slowShareMin: 0.1,
} as const;

/** What no result in this repository says. */
export const ASSUMED = {
  /** Of a database server, as many as its own cores are worth once locks and its one log are shared between them. */
  coresOfShard: 16,
  /** How the database's time for the rows of an event is spread: as what a row more adds to each statement in statements.json. */
  acceptShare: 0.32,
  claimShare: 0.36,
  settleShare: 0.32,
  /**
   * What the three statements take of its time for an event whatever they are given: some 450 µs each in batches of the size
   * below, which is what one of a single row costs in statements.json. So rows pay for vacuum and the writers of the log.
   */
  statementsShare: 0.25,
  /** How many events a statement had where the costs of throughput.json were measured: what comes in 8 ms at some 4,000/s. */
  eventsOfBatch: 30,
  /** And a hint. It then costs Redis some 100 µs, about what adding, taking and finishing a job of BullMQ come to. */
  eventsOfHint: 8,
  /**
   * Of a statement's time, how long it holds the gates that it has locked: from before its writes to its end. Not all, because
   * that time has a part of autovacuum and of the log's writers in it.
   */
  gateLockShare: 0.4,
  /** A sweep marks a row and reads nothing else of it. */
  markShareOfClaim: 0.5,
  /** Of one sweep, for one endpoint that has anything open: a step through an index and three look-ups. */
  sweepEndpointUs: 10,
  /** Of a worker's time for a delivery, what comes before the request sets out: claim, body, signature. */
  workerShareBeforeSend: 0.5,
  /** Between two machines and back, with the client's turn of its event loop. */
  roundTripMs: 0.5,
} as const;

/** The same figures with other values, to see what depends on them. */
export type Assumed = Readonly<Record<keyof typeof ASSUMED, number>>;

/** Microseconds of CPU for an event, and what a commit waits for. */
export interface Costs {
  readonly apiUs: number;
  readonly workerUs: number;
  readonly postgresUs: number;
  readonly redisUs: number;
  readonly diskSyncMs: number;
  readonly measuredAt: string;
}

interface ThroughputReport {
  readonly measured_at: string;
  readonly machine: { readonly disk_sync: { readonly p50_ms: number } };
  readonly results: readonly {
    readonly queue: string;
    readonly cost: { readonly cpu_us_per_event: Readonly<Record<string, number>> };
  }[];
}

/** @param report the text of `bench/results/throughput.json` @throws {Error} when a figure is missing */
export function costsOf(report: string): Costs {
  const { measured_at: measuredAt, machine, results } = JSON.parse(report) as ThroughputReport;
  const cpu = results.find(({ queue }) => queue === 'redis')?.cost.cpu_us_per_event ?? {};
  const of = (process: string): number => {
    const us = cpu[process];
    if (us === undefined || !(us > 0)) throw new Error(`throughput.json has no cost of ${process} on Redis`);
    return us;
  };
  return {
    apiUs: of('api'),
    workerUs: of('worker'),
    postgresUs: of('postgres'),
    redisUs: of('redis'),
    diskSyncMs: machine.disk_sync.p50_ms,
    measuredAt,
  };
}

/** Of PostgreSQL's time for an event: what its rows take, and what a statement takes beside its rows. */
export function statementCosts(postgresUs: number): {
  readonly rowsUs: number;
  readonly statementUs: number;
} {
  const statementsUs = postgresUs * ASSUMED.statementsShare;
  return { rowsUs: postgresUs - statementsUs, statementUs: (statementsUs * ASSUMED.eventsOfBatch) / 3 };
}

function sharesOfSlots() {
  const idle = new InFlight(() => 0);
  const contended = new InFlight(() => 0);
  for (const merchantId of ['one', 'another'])
    contended.begin({ endpointId: merchantId, merchantId }, 'fast');
  for (const lane of ['fast', 'slow'] as const) void contended.slots[lane].take(contended.slots[lane].total);
  const of = (lane: 'fast' | 'slow', total: number) => ({
    total,
    perEndpoint: idle.rooms(lane).perEndpoint,
    perMerchant: idle.rooms(lane).perMerchant,
    perMerchantContended: contended.rooms(lane).perMerchant,
  });
  return { fast: of('fast', FAST_SLOTS), slow: of('slow', SLOW_SLOTS) } as const;
}
