import type { Agenda } from './agenda.js';
import { Fifo, type Linked } from './fifo.js';

/** Runs a statement that begins now; gives the time at which it is committed. */
type Run = (nowMs: number) => number;

class Sent implements Linked<Sent> {
  next: Sent | null = null;

  constructor(
    readonly run: Run,
    readonly answered: (atMs: number) => void,
  ) {}
}

/**
 * `pipelined-connection.ts` in simulated time: statements run one after the other, each as soon as the one before it has
 * committed, so the way to the database and back is between none of them.
 */
export class Connection {
  private readonly sent = new Fifo<Sent>();
  private isBusy = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly tripMs: number,
  ) {}

  /** @param answered is told, once the statement has begun, when its answer will be there */
  query(run: Run, answered: (atMs: number) => void, nowMs: number): void {
    this.sent.push(new Sent(run, answered));
    if (!this.isBusy) this.begin(nowMs);
  }

  private begin(nowMs: number): void {
    const next = this.sent.shift();
    this.isBusy = next !== null;
    if (next === null) return;
    const committedMs = next.run(nowMs);
    next.answered(committedMs + this.tripMs);
    this.agenda.at(committedMs, this.committed, null);
  }

  private readonly committed = (_: null, nowMs: number): void => this.begin(nowMs);
}
