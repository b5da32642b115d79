import { Fifo } from './fifo.js';
import type { Delivery } from './delivery.js';
import { type Gate, type Lane, LANES } from './gate.js';
import { PIPELINE } from './parameters.js';
import type { Shard } from './shard.js';
import type { Worker } from './worker.js';

/** One worker's sweep of due deliveries: `dispatch.ts`, `take-due-deliveries.ts` and the pauses of `sweeps.ts`. */
export class Sweep {
  private readonly endpointsSeen = { fast: 1, slow: 1 };

  constructor(
    private readonly shard: Shard,
    private readonly worker: Worker,
  ) {}

  readonly run = (_: null, nowMs: number): void => {
    const { shard, worker } = this;
    let hinted = 0;
    let doneMs = nowMs;
    for (const lane of LANES) {
      const due = shard.hasRules ? this.take(lane, nowMs) : new Fifo<Delivery>();
      hinted += due.size;
      doneMs = Math.max(doneMs, this.statement(due.size, nowMs));
      if (due.size > 0) shard.agenda.at(doneMs, (marked, atMs) => shard.hints.add(lane, marked, atMs), due);
    }
    const isMoving = worker.forgetEnded();
    const isMoreToCome = hinted > 0 || this.isAnyHeldBack();
    if (hinted === 0) doneMs = this.statement(0, nowMs);
    const pauseMs = !isMoreToCome
      ? PIPELINE.sweepMs
      : isMoving
        ? PIPELINE.drainSweepMs
        : PIPELINE.busySweepMs;
    const jitter = 1 - PIPELINE.repeaterJitter + 2 * PIPELINE.repeaterJitter * shard.random.uniform();
    shard.agenda.at(doneMs + pauseMs * jitter, this.run, null);
  };

  /** Walks every endpoint that has anything open, whatever the statement then finds. */
  private statement(rows: number, nowMs: number): number {
    const { shard } = this;
    const serviceMs =
      shard.costs.statementMs + shard.openGates * shard.costs.sweepEndpointMs + rows * shard.costs.markMs;
    shard.sweepsBusyMs += serviceMs;
    return shard.commit(serviceMs, nowMs);
  }

  private take(lane: Lane, nowMs: number): Fifo<Delivery> {
    const taken = new Fifo<Delivery>();
    const budget = this.worker.budgets[lane];
    const deliveriesMax = Math.min(budget.available(nowMs), PIPELINE.sweepMax[lane]);
    if (deliveriesMax === 0) return taken;
    const share = Math.ceil(deliveriesMax / this.endpointsSeen[lane]);
    const perEndpointMax = Math.max(1, Math.min(share, budget.perEndpointMax));
    const found = this.find(lane, perEndpointMax, nowMs);
    takeByRank(this.shard, found, deliveriesMax, taken);
    if (taken.size >= perEndpointMax) budget.sweptFull();
    this.endpointsSeen[lane] = Math.max(1, found.length);
    return taken;
  }

  /** Endpoints of the lane that have anything due and room for it, from a random one on. */
  private find(lane: Lane, perEndpointMax: number, nowMs: number): Found[] {
    const { dueGates, random } = this.shard;
    const found: Found[] = [];
    const offset = random.below(Math.max(1, dueGates.length));
    for (let index = 0; index < dueGates.length; index++) {
      const gate = dueGates[(index + offset) % dueGates.length] as Gate;
      if (gate.lane !== lane) continue;
      const room = Math.min(gate.room(nowMs), this.worker.room(gate, lane, true));
      const count = Math.min(room, perEndpointMax, gate.due.size);
      if (count > 0) found.push({ gate, count });
    }
    return found;
  }

  private isAnyHeldBack(): boolean {
    return this.shard.dueGates.some((gate) => !gate.isBreakerOpen);
  }
}

interface Found {
  readonly gate: Gate;
  /** How many of it may be taken. */
  readonly count: number;
}

/** The oldest of each, then the second of each, and so on. */
function takeByRank(
  shard: Shard,
  found: readonly Found[],
  deliveriesMax: number,
  taken: Fifo<Delivery>,
): void {
  let left = found;
  for (let rank = 0; left.length > 0 && taken.size < deliveriesMax; rank++) {
    left = left.filter(({ count }) => count > rank);
    for (const { gate } of left) {
      if (taken.size >= deliveriesMax) break;
      taken.push(shard.takeDue(gate));
    }
  }
}
