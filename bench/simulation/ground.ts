import { Agenda } from './agenda.js';
import { type Delivery, DeliveryPool } from './delivery.js';
import { DueDeliveries } from './due.js';
import { Fifo } from './fifo.js';
import type { Rules } from './gate.js';
import { HintQueue } from './hint-queue.js';
import { AMENDED, ASSUMED, type Assumed, type Costs, statementCosts } from './parameters.js';
import { Random } from './random.js';
import { Servers } from './servers.js';
import type { ShardMeasures } from './shard-measures.js';

export interface GroundOptions {
  readonly rules: Rules;
  readonly costs: Costs;
  /** What is not as in {@link ASSUMED}. */
  readonly assumed?: Partial<Assumed>;
  readonly databaseCores: number;
  readonly seed: number;
}

/** What the processes of one shard stand on: the clock, chance, PostgreSQL and Redis. */
export class Ground {
  readonly agenda = new Agenda();
  readonly random: Random;
  readonly rules: Rules;
  readonly hasRules: boolean;
  readonly costs: Readonly<Record<CostName, number>>;
  readonly database: Servers;
  readonly redis = new Servers(1);
  readonly hints: HintQueue;
  readonly due = new DueDeliveries();
  readonly deliveries = new DeliveryPool();
  /** Endpoints that have anything open. */
  openGates = 0;
  sweepsBusyMs = 0;
  private readonly gateLockShare: number;

  constructor(
    { rules, costs, databaseCores, seed, ...options }: GroundOptions,
    readonly measures: ShardMeasures,
  ) {
    this.random = new Random(seed);
    this.rules = rules;
    this.hasRules = rules !== 'none';
    const assumed: Assumed = { ...ASSUMED, ...options.assumed };
    this.costs = millisecondsOf(costs, assumed);
    this.gateLockShare = (rules === 'amended' ? AMENDED : assumed).gateLockShare;
    this.database = new Servers(databaseCores);
    this.hints = new HintQueue(this.agenda, this.random, this.redis, this.costs);
  }

  /** When a statement that begins now has been committed. */
  commit(serviceMs: number, nowMs: number): number {
    return this.database.serve(nowMs, serviceMs) + this.costs.diskSyncMs;
  }

  /** The same for a statement that locks the gates of its batch on its way, and holds them until it is committed. */
  commitLocking(batch: Fifo<Delivery>, serviceMs: number, nowMs: number): number {
    if (!this.hasRules) return this.commit(serviceMs, nowMs);
    const lockedMs = serviceMs * this.gateLockShare;
    let lockMs = this.database.serve(nowMs, serviceMs) - lockedMs;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
      lockMs = Math.max(lockMs, delivery.gate.lockedUntilMs);
    const committedMs = lockMs + lockedMs + this.costs.diskSyncMs;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
      delivery.gate.lockedUntilMs = committedMs;
    return committedMs;
  }

  /** A delivery has been accepted. */
  open({ gate }: Delivery): void {
    if (gate.open++ === 0) this.openGates++;
  }

  /** A delivery is final. */
  close(delivery: Delivery): void {
    if (--delivery.gate.open === 0) this.openGates--;
    this.deliveries.give(delivery);
  }

  /** A delayed hint of one delivery has come of age. */
  readonly retry = (delivery: Delivery, nowMs: number): void => {
    const one = new Fifo<Delivery>();
    one.push(delivery);
    this.hints.add(delivery.lane, one, nowMs);
  };
}

type CostName = keyof ReturnType<typeof millisecondsOf>;

function millisecondsOf(
  { apiUs, workerUs, postgresUs, redisUs, diskSyncMs }: Costs,
  {
    acceptShare,
    claimShare,
    settleShare,
    markShareOfClaim,
    sweepEndpointUs,
    workerShareBeforeSend,
    eventsOfHint,
    roundTripMs,
  }: Assumed,
) {
  const { rowsUs, statementUs } = statementCosts(postgresUs);
  const rowMs = rowsUs / 1_000;
  return {
    apiMs: apiUs / 1_000,
    statementMs: statementUs / 1_000,
    acceptMs: rowMs * acceptShare,
    claimMs: rowMs * claimShare,
    settleMs: rowMs * settleShare,
    markMs: rowMs * claimShare * markShareOfClaim,
    sweepEndpointMs: sweepEndpointUs / 1_000,
    sendMs: (workerUs * workerShareBeforeSend) / 1_000,
    afterSendMs: (workerUs * (1 - workerShareBeforeSend)) / 1_000,
    hintMs: (redisUs * eventsOfHint) / 1_000,
    tripMs: roundTripMs,
    diskSyncMs,
  };
}
