import { BatchLine } from './batch-line.js';
import type { Delivery } from './delivery.js';
import { Fifo } from './fifo.js';
import type { Ground } from './ground.js';
import { HintBudget } from './hint-budget.js';
import { PIPELINE } from './parameters.js';
import { Servers } from './servers.js';

/** One API process: one thread, commits of many requests, hints after them. `accept.ts` in simulated time. */
export class Api {
  readonly cpu = new Servers(1);
  private readonly accepts: BatchLine<Delivery>;
  private readonly budget: HintBudget;

  constructor(
    private readonly ground: Ground,
    index: number,
  ) {
    this.budget = new HintBudget(ground.hints.waiting, 'fast', index);
    this.accepts = new BatchLine(ground.agenda, {
      itemsMax: PIPELINE.requestsPerCommitMax,
      runsMax: PIPELINE.acceptCommitsAtOnce,
      gatherMs: PIPELINE.acceptGatherMs,
      start: (batch, nowMs, done) => done(this.commit(batch, nowMs) + ground.costs.tripMs),
      end: (batch, nowMs) => this.committed(batch, nowMs),
    });
  }

  accept(delivery: Delivery, nowMs: number): void {
    this.accepts.add(delivery, this.cpu.serve(nowMs, this.ground.costs.apiMs));
  }

  private commit(batch: Fifo<Delivery>, nowMs: number): number {
    const { hasRules, costs } = this.ground;
    for (let delivery = batch.first; delivery !== null; delivery = delivery.next)
      delivery.isHinted = !hasRules || this.budget.take(delivery.gate, nowMs);
    return this.ground.commit(costs.statementMs + batch.size * costs.acceptMs, nowMs);
  }

  private committed(batch: Fifo<Delivery>, nowMs: number): void {
    const hinted = new Fifo<Delivery>();
    for (let delivery = batch.shift(); delivery !== null; delivery = batch.shift()) {
      this.ground.open(delivery);
      if (delivery.isHinted) hinted.push(delivery);
      else this.ground.due.add(delivery);
    }
    this.ground.hints.add('fast', hinted, nowMs);
  }
}
