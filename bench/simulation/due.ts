import type { Delivery } from './delivery.js';
import { Fifo } from './fifo.js';
import type { Gate } from './gate.js';

interface DueOfGate {
  readonly deliveries: Fifo<Delivery>;
  /** Where the gate stands among the others. */
  index: number;
}

/** What is due and hinted by nobody, by endpoint: what a sweep finds. */
export class DueDeliveries {
  /** Those that have any, in no order. */
  readonly gates: Gate[] = [];
  private readonly byGate = new Map<Gate, DueOfGate>();

  add(delivery: Delivery): void {
    const { gate } = delivery;
    let due = this.byGate.get(gate);
    if (due === undefined) {
      due = { deliveries: new Fifo(), index: this.gates.push(gate) - 1 };
      this.byGate.set(gate, due);
    }
    due.deliveries.push(delivery);
  }

  count(gate: Gate): number {
    return this.byGate.get(gate)?.deliveries.size ?? 0;
  }

  /** The one that has waited for the longest, of a gate that has any. */
  take(gate: Gate): Delivery {
    const { deliveries, index } = this.byGate.get(gate) as DueOfGate;
    const delivery = deliveries.shift() as Delivery;
    if (deliveries.size > 0) return delivery;
    this.byGate.delete(gate);
    const last = this.gates.pop() as Gate;
    if (last === gate) return delivery;
    this.gates[index] = last;
    (this.byGate.get(last) as DueOfGate).index = index;
    return delivery;
  }
}
