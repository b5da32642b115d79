import { Agenda } from './agenda.js';
import { BatchLine } from './batch-line.js';
import { type Delivery, DeliveryPool } from './delivery.js';
import { Fifo } from './fifo.js';
import { Gate, MerchantState, type Rules } from './gate.js';
import { HintBudget } from './hint-budget.js';
import { HintQueue } from './hint-queue.js';
import {
  AMENDED,
  ASSUMED,
  type Costs,
  rowUs,
  IN_FLIGHT_DEFAULT,
  IN_FLIGHT_HEADROOM,
  IN_FLIGHT_MAX,
  LOAD,
  PIPELINE,
} from './parameters.js';
import type { Merchant } from './population.js';
import { Random, WeightedChoice } from './random.js';
import { Servers } from './servers.js';
import { type MeasuredTime, ShardMeasures } from './shard-measures.js';
import { Sweep } from './sweep.js';
import { slotUse, Worker } from './worker.js';

export interface ShardOptions {
  readonly merchants: readonly Merchant[];
  readonly workers: number;
  readonly apis: number;
  readonly databaseCores: number;
  readonly costs: Costs;
  readonly rules: Rules;
  /** Whether the merchant of the burst's rank, if it is here, has its burst. */
  readonly hasBurst: boolean;
  readonly time: MeasuredTime;
  readonly endMs: number;
  readonly seed: number;
}

/** Part of the whole time that each was busy, or of all slots that were taken. */
export interface Utilisation {
  readonly api: number;
  readonly worker: number;
  readonly database: number;
  /** Of the database's time, what sweeps took. */
  readonly sweeps: number;
  readonly redis: number;
  readonly fastSlots: number;
  readonly slowSlots: number;
}

interface Api {
  readonly cpu: Servers;
  readonly accepts: BatchLine<Delivery>;
}

const SLOTS_SAMPLE_MS = 100;

/**
 * One shard: a PostgreSQL, a Redis, and the API and worker processes that work on them, with the merchants that are placed
 * there. Shards share nothing, so they are simulated one after the other.
 */
export class Shard {
  readonly agenda = new Agenda();
  readonly random: Random;
  readonly hasRules: boolean;
  readonly rules: Rules;
  readonly measures: ShardMeasures;
  readonly costs: Readonly<Record<CostName, number>>;
  readonly hints: HintQueue;
  readonly gates: readonly Gate[];
  /** Those that have anything due that nobody has hinted. */
  readonly dueGates: Gate[] = [];
  /** How many have anything open. */
  openGates = 0;
  sweepsBusyMs = 0;
  private readonly workers: readonly Worker[];
  private readonly apis: readonly Api[];
  private readonly database: Servers;
  private readonly redis = new Servers(1);
  private readonly pool = new DeliveryPool();
  private readonly slotSamples = { count: 0, fast: 0, slow: 0 };

  constructor(private readonly options: ShardOptions) {
    this.random = new Random(options.seed);
    this.rules = options.rules;
    this.hasRules = options.rules !== 'none';
    this.costs = millisecondsOf(options.costs);
    this.database = new Servers(options.databaseCores);
    this.hints = new HintQueue(this.agenda, this.random, this.redis, this.costs);
    this.gates = options.merchants.flatMap((merchant) => makeGates(merchant, options));
    const hasBurst = options.hasBurst && this.gates.some(({ merchant }) => merchant.isBurster);
    this.measures = new ShardMeasures(options.time, hasBurst);
    this.workers = Array.from({ length: options.workers }, (_, index) => new Worker(this, index));
    this.hints.workers = this.workers;
    this.apis = Array.from({ length: options.apis }, (_, index) => this.makeApi(index));
    this.startArrivals(hasBurst);
    for (const worker of this.workers)
      this.agenda.at(this.random.uniform() * PIPELINE.sweepMs, new Sweep(this, worker).run, null);
    this.agenda.at(0, this.sampleSlots, null);
  }

  /** @returns how busy everything was */
  run(): Utilisation {
    const { endMs } = this.options;
    this.agenda.runUntil(endMs);
    // Whatever has not set out has waited for at least as long as it is there.
    for (const { isOpen, isSent, gate, acceptedMs } of this.pool.all)
      if (isOpen && !isSent) this.measures.setOut(gate.merchant, acceptedMs, endMs);
    const busy = (servers: readonly Servers[]): number =>
      servers.reduce((sum, { busyMs }) => sum + busyMs, 0) /
      (endMs * servers.reduce((sum, { count }) => sum + count, 0));
    return {
      api: busy(this.apis.map(({ cpu }) => cpu)),
      worker: busy(this.workers.map(({ cpu }) => cpu)),
      database: busy([this.database]),
      sweeps: this.sweepsBusyMs / (endMs * this.database.count),
      redis: busy([this.redis]),
      fastSlots: this.slotSamples.fast / this.slotSamples.count,
      slowSlots: this.slotSamples.slow / this.slotSamples.count,
    };
  }

  /** When a statement that is sent now has been committed and answered. */
  commit(serviceMs: number, nowMs: number): number {
    return this.database.serve(nowMs, serviceMs) + this.costs.commitMs;
  }

  /** The same for a statement that locks the gates of its batch on its way, and holds them until it is committed. */
  commitLocking(batch: Fifo<Delivery>, serviceMs: number, nowMs: number): number {
    if (!this.hasRules) return this.commit(serviceMs, nowMs);
    const lockedMs = serviceMs * (this.rules === 'built' ? ASSUMED : AMENDED).gateLockShare;
    let lockMs = this.database.serve(nowMs, serviceMs) - lockedMs;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
      lockMs = Math.max(lockMs, delivery.gate.lockedUntilMs);
    const committedMs = lockMs + lockedMs + this.options.costs.diskSyncMs;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
      delivery.gate.lockedUntilMs = committedMs;
    return committedMs + this.costs.tripMs;
  }

  leaveToSweep(delivery: Delivery): void {
    const { gate } = delivery;
    gate.due.push(delivery);
    if (gate.dueIndex < 0) gate.dueIndex = this.dueGates.push(gate) - 1;
  }

  takeDue(gate: Gate): Delivery {
    const delivery = gate.due.shift() as Delivery;
    if (gate.due.size > 0) return delivery;
    const last = this.dueGates.pop() as Gate;
    if (last !== gate) {
      this.dueGates[gate.dueIndex] = last;
      last.dueIndex = gate.dueIndex;
    }
    gate.dueIndex = -1;
    return delivery;
  }

  readonly retry = (delivery: Delivery, nowMs: number): void => {
    const one = new Fifo<Delivery>();
    one.push(delivery);
    this.hints.add(delivery.lane, one, nowMs);
  };

  close(delivery: Delivery): void {
    if (--delivery.gate.open === 0) this.openGates--;
    this.pool.give(delivery);
  }

  private makeApi(index: number): Api {
    const budget = new HintBudget(this.hints.waiting, 'fast', index);
    const accepts = new BatchLine<Delivery>(this.agenda, {
      itemsMax: PIPELINE.requestsPerCommitMax,
      runsMax: PIPELINE.acceptCommitsAtOnce,
      start: (batch, nowMs) => {
        for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
          delivery.isHinted = !this.hasRules || budget.take(delivery.gate, nowMs);
        return this.commit(this.costs.statementMs + batch.size * this.costs.acceptMs, nowMs);
      },
      end: (batch, nowMs) => this.accepted(batch, nowMs),
    });
    return { cpu: new Servers(1), accepts };
  }

  private accepted(batch: Fifo<Delivery>, nowMs: number): void {
    const hinted = new Fifo<Delivery>();
    for (let delivery = batch.shift(); delivery !== null; delivery = batch.shift()) {
      if (delivery.gate.open++ === 0) this.openGates++;
      if (delivery.isHinted) hinted.push(delivery);
      else this.leaveToSweep(delivery);
    }
    this.hints.add('fast', hinted, nowMs);
  }

  private startArrivals(hasBurst: boolean): void {
    const perSecond = this.options.merchants.reduce((sum, merchant) => sum + merchant.eventsPerSecond, 0);
    this.startSource(this.gates, perSecond, 0, Infinity);
    const burster = this.gates.filter(({ merchant }) => merchant.isBurster);
    const [gate] = burster;
    if (!hasBurst || gate === undefined) return;
    const { burstFromMs, burstToMs } = this.options.time;
    const usual = gate.eventsPerSecond * burster.length;
    this.startSource(burster, usual * (LOAD.burst.factor - 1), burstFromMs, burstToMs);
  }

  /** Events that come without regard to each other. */
  private startSource(gates: readonly Gate[], perSecond: number, fromMs: number, toMs: number): void {
    const choice = new WeightedChoice(gates, ({ eventsPerSecond }) => eventsPerSecond);
    const meanMs = 1_000 / perSecond;
    const arrive = (_: null, nowMs: number): void => {
      const delivery = this.pool.take(choice.draw(this.random), nowMs);
      const api = this.apis[this.random.below(this.apis.length)] as Api;
      api.accepts.add(delivery, api.cpu.serve(nowMs, this.costs.apiMs));
      const nextMs = nowMs + this.random.exponential(meanMs);
      if (nextMs < toMs) this.agenda.at(nextMs, arrive, null);
    };
    this.agenda.at(fromMs + this.random.exponential(meanMs), arrive, null);
  }

  private readonly sampleSlots = (_: null, nowMs: number): void => {
    this.slotSamples.count++;
    this.slotSamples.fast += slotUse(this.workers, 'fast');
    this.slotSamples.slow += slotUse(this.workers, 'slow');
    this.agenda.at(nowMs + SLOTS_SAMPLE_MS, this.sampleSlots, null);
  };
}

type CostName = keyof ReturnType<typeof millisecondsOf>;

function millisecondsOf({ apiUs, workerUs, postgresUs, redisUs, diskSyncMs }: Costs) {
  const { acceptShare, claimShare, settleShare } = ASSUMED;
  const statementMs = ASSUMED.statementUs / 1_000;
  const rowMs = rowUs(postgresUs) / 1_000;
  return {
    apiMs: apiUs / 1_000,
    statementMs,
    acceptMs: rowMs * acceptShare,
    claimMs: rowMs * claimShare,
    settleMs: rowMs * settleShare,
    markMs: rowMs * claimShare * ASSUMED.markShareOfClaim,
    sweepEndpointMs: ASSUMED.sweepEndpointUs / 1_000,
    sendMs: (workerUs * ASSUMED.workerShareBeforeSend) / 1_000,
    afterSendMs: (workerUs * (1 - ASSUMED.workerShareBeforeSend)) / 1_000,
    hintMs: (redisUs * ASSUMED.eventsOfBatch) / 1_000,
    tripMs: ASSUMED.roundTripMs,
    commitMs: ASSUMED.roundTripMs + diskSyncMs,
  };
}

function makeGates(merchant: Merchant, options: ShardOptions): Gate[] {
  const { rank, kind, endpointMediansMs } = merchant;
  const state = new MerchantState(rank, kind, rank === LOAD.burst.rank, options);
  const eventsPerSecond = merchant.eventsPerSecond / endpointMediansMs.length;
  return endpointMediansMs.map((medianMs) => {
    const onAverage = (eventsPerSecond * medianMs) / 1_000;
    const inFlightMax = Math.min(
      Math.max(Math.ceil(onAverage * IN_FLIGHT_HEADROOM), IN_FLIGHT_DEFAULT),
      IN_FLIGHT_MAX,
    );
    return new Gate(state, options.rules, { eventsPerSecond, medianMs, inFlightMax }, options);
  });
}
