import type { Delivery } from './delivery.js';
import type { DueDeliveries } from './due.js';
import { Fifo } from './fifo.js';
import { type Gate, type Lane, LANES } from './gate.js';
import type { Ground } from './ground.js';
import { PIPELINE } from './parameters.js';
import type { Worker } from './worker.js';

/** One worker's sweep of due deliveries: `dispatch.ts`, `take-due-deliveries.ts` and the pauses of `sweeps.ts`. */
export class Sweep {
  private readonly endpointsSeen = { fast: 1, slow: 1 };

  constructor(
    private readonly ground: Ground,
    private readonly worker: Worker,
  ) {}

  readonly run = (_: null, nowMs: number): void => {
    const { ground, worker } = this;
    let hinted = 0;
    let doneMs = nowMs;
    for (const lane of LANES) {
      const taken = ground.hasRules ? this.take(lane, nowMs) : new Fifo<Delivery>();
      hinted += taken.size;
      doneMs = Math.max(doneMs, this.statement(taken.size, nowMs));
      if (taken.size > 0)
        ground.agenda.at(doneMs, (marked, atMs) => ground.hints.add(lane, marked, atMs), taken);
    }
    const isMoving = worker.forgetEnded();
    const isMoreToCome = hinted > 0 || this.isAnyHeldBack();
    if (hinted === 0) doneMs = this.statement(0, nowMs);
    const { sweepMs, busySweepMs, drainSweepMs } = PIPELINE;
    const [moreMs, noMoreMs] = isMoving ? [drainSweepMs, busySweepMs] : [busySweepMs, sweepMs];
    const pauseMs = isMoreToCome ? moreMs : noMoreMs;
    const jitter = 1 - PIPELINE.repeaterJitter + 2 * PIPELINE.repeaterJitter * ground.random.uniform();
    ground.agenda.at(doneMs + pauseMs * jitter, this.run, null);
  };

  /** Walks every endpoint that has anything open, whatever the statement then finds. */
  private statement(rows: number, nowMs: number): number {
    const { ground } = this;
    const serviceMs =
      ground.costs.statementMs + ground.openGates * ground.costs.sweepEndpointMs + rows * ground.costs.markMs;
    ground.sweepsBusyMs += serviceMs;
    return ground.commit(serviceMs, nowMs) + ground.costs.tripMs;
  }

  private take(lane: Lane, nowMs: number): Fifo<Delivery> {
    const taken = new Fifo<Delivery>();
    const budget = this.worker.budgets[lane];
    const deliveriesMax = Math.min(budget.available(nowMs), PIPELINE.sweepMax[lane]);
    if (deliveriesMax === 0) return taken;
    const share = Math.ceil(deliveriesMax / this.endpointsSeen[lane]);
    const perEndpointMax = Math.max(1, Math.min(share, budget.perEndpointMax));
    const found = this.find(lane, perEndpointMax, nowMs);
    takeByRank(this.ground.due, found, deliveriesMax, taken);
    if (taken.size >= perEndpointMax) budget.sweptFull();
    this.endpointsSeen[lane] = Math.max(1, found.length);
    return taken;
  }

  /** Endpoints of the lane that have anything due and room for it, from a random one on. */
  private find(lane: Lane, perEndpointMax: number, nowMs: number): Found[] {
    const { due, random } = this.ground;
    const found: Found[] = [];
    const offset = random.below(Math.max(1, due.gates.length));
    for (let index = 0; index < due.gates.length; index++) {
      const gate = due.gates[(index + offset) % due.gates.length] as Gate;
      if (gate.lane !== lane) continue;
      const ofGate = gate.room(nowMs) - gate.freshHints(nowMs);
      const room = Math.min(ofGate, this.worker.room(gate, lane, true));
      const count = Math.min(room, perEndpointMax, due.count(gate));
      if (count > 0) found.push({ gate, count });
    }
    return found;
  }

  private isAnyHeldBack(): boolean {
    return this.ground.due.gates.some((gate) => !gate.isBreakerOpen);
  }
}

interface Found {
  readonly gate: Gate;
  /** How many of it may be taken. */
  readonly count: number;
}

/** The oldest of each, then the second of each, and so on. */
function takeByRank(
  due: DueDeliveries,
  found: readonly Found[],
  deliveriesMax: number,
  taken: Fifo<Delivery>,
): void {
  let left = found;
  for (let rank = 0; left.length > 0 && taken.size < deliveriesMax; rank++) {
    left = left.filter(({ count }) => count > rank);
    for (const { gate } of left) {
      if (taken.size >= deliveriesMax) break;
      taken.push(due.take(gate));
    }
  }
}
