import { Api } from './api.js';
import { Gate, MerchantState, type Rules } from './gate.js';
import { Ground } from './ground.js';
import {
  type Assumed,
  type Costs,
  IN_FLIGHT_DEFAULT,
  IN_FLIGHT_HEADROOM,
  IN_FLIGHT_MAX,
  LOAD,
  PIPELINE,
} from './parameters.js';
import type { Merchant } from './population.js';
import { WeightedChoice } from './random.js';
import type { Servers } from './servers.js';
import { type MeasuredTime, ShardMeasures } from './shard-measures.js';
import { Sweep } from './sweep.js';
import { slotUse, Worker } from './worker.js';

export interface ShardOptions {
  readonly merchants: readonly Merchant[];
  readonly workers: number;
  readonly apis: number;
  readonly databaseCores: number;
  readonly costs: Costs;
  readonly assumed?: Partial<Assumed>;
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

const SLOTS_SAMPLE_MS = 100;

/**
 * One shard: a PostgreSQL, a Redis, and the API and worker processes that work on them, with the merchants that are placed
 * there. Shards share nothing, so they are simulated one after the other.
 */
export class Shard {
  readonly measures: ShardMeasures;
  readonly gates: readonly Gate[];
  private readonly ground: Ground;
  private readonly workers: readonly Worker[];
  private readonly apis: readonly Api[];
  private readonly slotSamples = { count: 0, fast: 0, slow: 0 };

  constructor(private readonly options: ShardOptions) {
    this.gates = options.merchants.flatMap((merchant) => makeGates(merchant, options));
    const hasBurst = options.hasBurst && this.gates.some(({ merchant }) => merchant.isBurster);
    this.measures = new ShardMeasures(options.time, hasBurst);
    const ground = new Ground(options, this.measures);
    this.ground = ground;
    this.workers = Array.from({ length: options.workers }, (_, index) => new Worker(ground, index));
    ground.hints.takers = this.workers;
    this.apis = Array.from({ length: options.apis }, (_, index) => new Api(ground, index));
    this.startArrivals(hasBurst);
    for (const worker of this.workers)
      ground.agenda.at(ground.random.uniform() * PIPELINE.sweepMs, new Sweep(ground, worker).run, null);
    ground.agenda.at(0, this.sampleSlots, null);
  }

  /** @returns how busy everything was */
  run(): Utilisation {
    const { endMs } = this.options;
    const { agenda, database, redis, deliveries } = this.ground;
    agenda.runUntil(endMs);
    // Whatever has not set out has waited for at least as long as it is there.
    for (const { isOpen, isSent, gate, acceptedMs } of deliveries.all)
      if (isOpen && !isSent) this.measures.setOut(gate.merchant, acceptedMs, endMs);
    const busy = (servers: readonly Servers[]): number =>
      servers.reduce((sum, { busyMs }) => sum + busyMs, 0) /
      (endMs * servers.reduce((sum, { count }) => sum + count, 0));
    return {
      api: busy(this.apis.map(({ cpu }) => cpu)),
      worker: busy(this.workers.map(({ cpu }) => cpu)),
      database: busy([database]),
      sweeps: this.ground.sweepsBusyMs / (endMs * database.count),
      redis: busy([redis]),
      fastSlots: this.slotSamples.fast / this.slotSamples.count,
      slowSlots: this.slotSamples.slow / this.slotSamples.count,
    };
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
    const { agenda, random, deliveries } = this.ground;
    const choice = new WeightedChoice(gates, ({ eventsPerSecond }) => eventsPerSecond);
    const meanMs = 1_000 / perSecond;
    const arrive = (_: null, nowMs: number): void => {
      const delivery = deliveries.take(choice.draw(random), nowMs);
      (this.apis[random.below(this.apis.length)] as Api).accept(delivery, nowMs);
      const nextMs = nowMs + random.exponential(meanMs);
      if (nextMs < toMs) agenda.at(nextMs, arrive, null);
    };
    agenda.at(fromMs + random.exponential(meanMs), arrive, null);
  }

  private readonly sampleSlots = (_: null, nowMs: number): void => {
    this.slotSamples.count++;
    this.slotSamples.fast += slotUse(this.workers, 'fast');
    this.slotSamples.slow += slotUse(this.workers, 'slow');
    this.ground.agenda.at(nowMs + SLOTS_SAMPLE_MS, this.sampleSlots, null);
  };
}

function makeGates(merchant: Merchant, options: ShardOptions): Gate[] {
  const { rank, kind, endpointMediansMs } = merchant;
  const state = new MerchantState(rank, kind, rank === LOAD.burst.rank, options);
  const eventsPerSecond = merchant.eventsPerSecond / endpointMediansMs.length;
  return endpointMediansMs.map((medianMs) => {
    const onAverage = (eventsPerSecond * medianMs) / 1_000;
    const wanted = Math.max(Math.ceil(onAverage * IN_FLIGHT_HEADROOM), IN_FLIGHT_DEFAULT);
    const inFlightMax = Math.min(wanted, IN_FLIGHT_MAX);
    return new Gate(state, options.rules, { eventsPerSecond, medianMs, inFlightMax }, options);
  });
}
