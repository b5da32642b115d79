/** So many equal servers before one line, first come, first served: the cores of a machine, or one thread. */
export class Servers {
  private readonly freeAtMs: Float64Array;
  /** Of all of them together. */
  busyMs = 0;

  constructor(readonly count: number) {
    this.freeAtMs = new Float64Array(count);
  }

  /**
   * When what arrives now is done. Calls come in the order of their arrival.
   *
   * @param serviceMs how long one server is busy with it
   */
  serve(arrivedMs: number, serviceMs: number): number {
    let earliest = 0;
    let freeAtMs = this.freeAtMs[0] as number;
    for (let index = 1; index < this.count; index++) {
      const otherMs = this.freeAtMs[index] as number;
      if (otherMs >= freeAtMs) continue;
      freeAtMs = otherMs;
      earliest = index;
    }
    const doneMs = Math.max(freeAtMs, arrivedMs) + serviceMs;
    this.freeAtMs[earliest] = doneMs;
    this.busyMs += serviceMs;
    return doneMs;
  }
}
