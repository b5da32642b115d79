import { nextWaitMs, DEFAULT_RETRY_SCHEDULE_SECONDS } from '#domain/retry-schedule.js';
import { BatchLine } from './batch-line.js';
import { Connection } from './connection.js';
import type { Delivery, Hint } from './delivery.js';
import { Fifo } from './fifo.js';
import type { Gate, Lane, MerchantState } from './gate.js';
import type { Ground } from './ground.js';
import { HintBudget } from './hint-budget.js';
import { PIPELINE, SLOTS, SLOW_AFTER } from './parameters.js';
import { drawAnswer } from './population.js';
import { Servers } from './servers.js';

/** What a worker has of a lane. */
interface LaneOfWorker {
  readonly total: number;
  free: number;
  /** Hints in hand, until there are slots for them: a job of the queue each, and so no more than it hands out at once. */
  readonly waiting: Fifo<Hint>;
  readonly waitingMax: number;
  readonly claims: BatchLine<Delivery>;
}

/** One worker process: slots, claims, one thread, settlements. `deliver.ts` and `in-flight.ts` in simulated time. */
export class Worker {
  readonly cpu = new Servers(1);
  readonly lanes: Readonly<Record<Lane, LaneOfWorker>>;
  readonly budgets: Readonly<Record<Lane, HintBudget>>;
  cpuFreeAtMs = 0;
  private merchantsInHand = 0;
  /** What claims and settles of all lanes go down. */
  private readonly connection: Connection;
  private readonly settlements: BatchLine<Delivery>;
  private endedGates: Gate[] = [];
  private endedMerchants: MerchantState[] = [];

  constructor(
    private readonly ground: Ground,
    readonly index: number,
  ) {
    const { hasRules, agenda, hints } = ground;
    const all = SLOTS.fast.total + SLOTS.slow.total;
    this.connection = new Connection(agenda, ground.costs.tripMs);
    this.lanes = {
      fast: this.lane('fast', hasRules ? SLOTS.fast.total : all),
      slow: this.lane('slow', hasRules ? SLOTS.slow.total : 0),
    };
    this.settlements = new BatchLine(agenda, {
      itemsMax: PIPELINE.settlementsPerCommitMax,
      runsMax: PIPELINE.settleCommitsAtOnce,
      gatherMs: PIPELINE.settleGatherMs,
      start: (batch, nowMs, done) =>
        this.connection.query((beginMs) => this.commitLocking(batch, 'settleMs', beginMs), done, nowMs),
      end: this.settled,
    });
    // Sweeps ask a budget only how much room there is, which is nobody's share.
    this.budgets = {
      fast: new HintBudget(hints.waiting, 'fast', 0),
      slow: new HintBudget(hints.waiting, 'slow', 0),
    };
  }

  mayTake(lane: Lane): boolean {
    return this.lanes[lane].waiting.size < this.lanes[lane].waitingMax;
  }

  /** Takes a hint off the queue. Its deliveries are claimed once there are slots for all of them. */
  take(hint: Hint, nowMs: number): void {
    this.lanes[hint.lane].waiting.push(hint);
    this.admit(hint.lane, nowMs);
  }

  /** How many more of an endpoint and its merchant this worker takes now; ahead: what is worth hinting to it. */
  room(gate: Gate, lane: Lane, isAhead: boolean): number {
    const { merchant } = gate;
    const shares = SLOTS[lane];
    const isContended = this.available(lane) < shares.total / 2 && this.merchantsInHand > 1;
    const perMerchant = isContended ? shares.perMerchantContended : shares.perMerchant;
    const laneCounted = this.ground.rules === 'amended' ? lane : null;
    const ofEndpoint = Math.max(0, shares.perEndpoint - gate.inHand(this.index, null));
    const ofMerchant = Math.max(0, perMerchant - merchant.inHand(this.index, laneCounted));
    if (!isAhead) return Math.min(ofEndpoint, ofMerchant);
    const turnover = PIPELINE.turnoverFactor;
    return Math.min(
      ofEndpoint + turnover * gate.ended(this.index),
      ofMerchant + turnover * merchant.ended(this.index),
    );
  }

  /** Forgets what has ended so far. @returns whether anything has */
  forgetEnded(): boolean {
    const isMoving = this.endedGates.length > 0;
    for (const gate of this.endedGates) gate.setEnded(this.index, 0);
    for (const merchant of this.endedMerchants) merchant.setEnded(this.index, 0);
    this.endedGates = [];
    this.endedMerchants = [];
    return isMoving;
  }

  /** Slots in use, of all; more than there are where attempts have turned slow. */
  slotsInUse(lane: Lane): number {
    return this.lanes[lane].total - this.lanes[lane].free;
  }

  private lane(name: Lane, total: number): LaneOfWorker {
    const { agenda } = this.ground;
    const claims = new BatchLine<Delivery>(agenda, {
      itemsMax: PIPELINE.claimsPerStatementMax,
      runsMax: PIPELINE.claimStatementsAtOnce,
      gatherMs: PIPELINE.claimGatherMs,
      start: (batch, nowMs, done) =>
        this.connection.query((beginMs) => this.claim(name, batch, beginMs), done, nowMs),
      end: (batch, nowMs) => this.claimed(batch, nowMs),
    });
    const waitingMax = Math.min(PIPELINE.hintsAhead, total);
    return { total, free: total, waiting: new Fifo(), waitingMax, claims };
  }

  private commitLocking(batch: Fifo<Delivery>, ofRow: 'claimMs' | 'settleMs', nowMs: number): number {
    const { costs } = this.ground;
    return this.ground.commitLocking(batch, costs.statementMs + batch.size * costs[ofRow], nowMs);
  }

  private available(lane: Lane): number {
    const { waiting, free } = this.lanes[lane];
    return waiting.size > 0 ? 0 : Math.max(0, free);
  }

  /** First come, first served, and whole hints only. The job ends with it, and the next is taken in its place. */
  private admit(name: Lane, nowMs: number): void {
    const lane = this.lanes[name];
    for (
      let hint = lane.waiting.first;
      hint !== null && hint.deliveries.size <= lane.free;
      hint = lane.waiting.first
    ) {
      lane.waiting.shift();
      lane.free -= hint.deliveries.size;
      for (let next = hint.deliveries.shift(); next !== null; next = hint.deliveries.shift()) {
        next.lane = name;
        lane.claims.add(next, nowMs);
      }
      const following = this.ground.hints.next(name);
      if (following !== null) lane.waiting.push(following);
    }
  }

  private claim(lane: Lane, batch: Fifo<Delivery>, nowMs: number): number {
    const { ground, index } = this;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next) {
      const { gate } = delivery;
      gate.unhinted(delivery.hintSecond, nowMs);
      delivery.isClaimed =
        !ground.hasRules || (gate.lane === lane && gate.room(nowMs) > 0 && this.room(gate, lane, false) > 0);
      if (!delivery.isClaimed) continue;
      gate.claimed(nowMs);
      if (gate.merchant.inHand(index, null) === 0) this.merchantsInHand++;
      gate.addInHand(index, lane, 1);
      gate.merchant.addInHand(index, lane, 1);
    }
    return this.commitLocking(batch, 'claimMs', nowMs);
  }

  private claimed(batch: Fifo<Delivery>, nowMs: number): void {
    for (let delivery = batch.shift(); delivery !== null; delivery = batch.shift()) {
      if (delivery.isClaimed) this.send(delivery, nowMs);
      else {
        this.freeSlot(delivery, nowMs);
        this.ground.due.add(delivery);
      }
    }
  }

  private send(delivery: Delivery, nowMs: number): void {
    const { ground } = this;
    const { gate } = delivery;
    const sentMs = this.cpu.serve(nowMs, ground.costs.sendMs);
    const answer = drawAnswer(ground.random, gate.merchant.kind, gate.medianMs);
    this.cpuFreeAtMs = sentMs;
    delivery.sentMs = sentMs;
    delivery.durationMs = answer.durationMs;
    delivery.isSuccess = answer.isSuccess;
    delivery.hasTurnedSlow = false;
    if (!delivery.isSent) ground.measures.setOut(gate.merchant, delivery.acceptedMs, sentMs);
    delivery.isSent = true;
    const answeredMs = sentMs + answer.durationMs;
    const slowMs = Math.ceil((sentMs + SLOW_AFTER.ms) / PIPELINE.slowLookMs) * PIPELINE.slowLookMs;
    if (ground.hasRules && delivery.lane === 'fast' && slowMs < answeredMs)
      ground.agenda.at(slowMs, this.turnsSlow, delivery);
    ground.agenda.at(answeredMs, this.answered, delivery);
  }

  private readonly turnsSlow = (delivery: Delivery, nowMs: number): void => {
    const { fast, slow } = this.lanes;
    const { gate } = delivery;
    for (const shared of [gate, gate.merchant]) {
      shared.addInHand(this.index, 'fast', -1);
      shared.addInHand(this.index, 'slow', 1);
    }
    delivery.lane = 'slow';
    delivery.hasTurnedSlow = true;
    gate.sawSlow(nowMs);
    slow.free--;
    fast.free++;
    this.admit('fast', nowMs);
  };

  private readonly answered = (delivery: Delivery, nowMs: number): void => {
    this.endShare(delivery);
    this.cpuFreeAtMs = this.cpu.serve(nowMs, this.ground.costs.afterSendMs);
    this.settlements.add(delivery, this.cpuFreeAtMs);
  };

  private readonly settled = (batch: Fifo<Delivery>, nowMs: number): void => {
    const { ground } = this;
    for (let delivery = batch.shift(); delivery !== null; delivery = batch.shift()) {
      const laneNow = ground.hasRules ? delivery.gate.lane : 'fast';
      delivery.gate.settled(delivery, nowMs);
      this.freeSlot(delivery, nowMs);
      const waitMs = delivery.isSuccess ? null : this.nextWaitMs(delivery);
      if (waitMs === null) {
        ground.close(delivery);
        continue;
      }
      delivery.lane = laneNow;
      ground.agenda.at(nowMs + waitMs, ground.retry, delivery);
    }
  };

  private nextWaitMs(delivery: Delivery): number | null {
    delivery.failures++;
    return nextWaitMs({
      scheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
      failures: delivery.failures,
      random: () => this.ground.random.uniform(),
    });
  }

  /** What is left of it is our own work: it has its slot until it is settled, and nothing of a share any more. */
  private endShare({ gate, lane }: Delivery): void {
    const { index } = this;
    const { merchant } = gate;
    gate.addInHand(index, lane, -1);
    merchant.addInHand(index, lane, -1);
    if (merchant.inHand(index, null) === 0) this.merchantsInHand--;
    const [ofGate, ofMerchant] = [gate.ended(index), merchant.ended(index)];
    if (ofGate === 0) this.endedGates.push(gate);
    if (ofMerchant === 0) this.endedMerchants.push(merchant);
    gate.setEnded(index, ofGate + 1);
    merchant.setEnded(index, ofMerchant + 1);
  }

  /** To the lane that it is counted in by now. */
  private freeSlot({ lane }: Delivery, nowMs: number): void {
    this.lanes[lane].free++;
    this.admit(lane, nowMs);
  }
}

/** Slots in use of all workers, of those that there are. */
export function slotUse(workers: readonly Worker[], lane: Lane): number {
  const total = workers.reduce((sum, worker) => sum + worker.lanes[lane].total, 0);
  const used = workers.reduce((sum, worker) => sum + worker.slotsInUse(lane), 0);
  return total === 0 ? 0 : used / total;
}
