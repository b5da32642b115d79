type Act = (subject: never, nowMs: number) => void;

const CAPACITY_START = 1_024;
/** Children of a node: fewer levels than with two, and the children lie side by side. */
const FAN_OUT = 4;

/** What is still to happen, and the clock: a heap by time. */
export class Agenda {
  private times = new Float64Array(CAPACITY_START);
  private readonly acts: Act[] = [];
  private readonly subjects: unknown[] = [];
  private size = 0;
  /** What is being lived through still stands first: most of it leads to one thing more, which then takes its place. */
  private isFirstOver = false;

  /** @param timeMs not before the time that is being lived through */
  at<Subject>(timeMs: number, act: (subject: Subject, nowMs: number) => void, subject: Subject): void {
    if (this.isFirstOver) {
      this.isFirstOver = false;
      this.sink(timeMs, act, subject);
      return;
    }
    if (this.size === this.times.length) this.grow();
    let index = this.size++;
    while (index > 0) {
      const parent = Math.floor((index - 1) / FAN_OUT);
      if ((this.times[parent] as number) <= timeMs) break;
      this.move(parent, index);
      index = parent;
    }
    this.put(index, timeMs, act, subject);
  }

  /** Lives through everything that is due up to `endMs`. */
  runUntil(endMs: number): void {
    while (this.size > 0) {
      const nowMs = this.times[0] as number;
      if (nowMs > endMs) return;
      this.live(nowMs);
      if (this.isFirstOver) this.removeFirst();
    }
  }

  private live(nowMs: number): void {
    const act = this.acts[0] as Act;
    this.isFirstOver = true;
    act(this.subjects[0] as never, nowMs);
  }

  private removeFirst(): void {
    this.isFirstOver = false;
    const last = --this.size;
    this.sink(this.times[last] as number, this.acts[last] as Act, this.subjects[last]);
    this.subjects[last] = null;
  }

  /** Finds the place of what is to stand first, from there downwards. */
  private sink(time: number, act: Act, subject: unknown): void {
    const { times, size } = this;
    let index = 0;
    for (;;) {
      const first = FAN_OUT * index + 1;
      if (first >= size) break;
      let earliest = first;
      let earliestTime = times[first] as number;
      for (let child = first + 1; child < Math.min(first + FAN_OUT, size); child++) {
        const childTime = times[child] as number;
        if (childTime >= earliestTime) continue;
        earliest = child;
        earliestTime = childTime;
      }
      if (earliestTime >= time) break;
      this.move(earliest, index);
      index = earliest;
    }
    this.put(index, time, act, subject);
  }

  private move(from: number, to: number): void {
    this.put(to, this.times[from] as number, this.acts[from] as Act, this.subjects[from]);
  }

  private put(index: number, time: number, act: Act, subject: unknown): void {
    this.times[index] = time;
    this.acts[index] = act;
    this.subjects[index] = subject;
  }

  private grow(): void {
    const larger = new Float64Array(this.times.length * 2);
    larger.set(this.times);
    this.times = larger;
  }
}
