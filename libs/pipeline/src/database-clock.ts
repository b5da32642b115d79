/**
 * PostgreSQL's clock as seen from here. Only that clock decides what is due and what day's partition a key falls in,
 * so ids and logged times are made on it, whatever this machine's own clock says.
 */
export class DatabaseClock {
  private offsetMs = 0;
  private narrowestMs = Infinity;

  /** @param localNowMs this machine's wall clock, milliseconds since 1970 */
  constructor(private readonly localNowMs: () => number = Date.now) {}

  nowMs(): number {
    return this.localNowMs() + this.offsetMs;
  }

  /** This machine's wall clock, for {@link learn}. */
  localMs(): number {
    return this.localNowMs();
  }

  /**
   * Learns the offset from a time that PostgreSQL told between two local instants. The true offset lies within that
   * window, so a narrow window is believed over a wide one; a belief ages so that a stepped clock is followed.
   */
  learn(databaseNowMs: number, sentLocalMs: number, receivedLocalMs: number): void {
    const windowMs = Math.max(0, receivedLocalMs - sentLocalMs);
    const offsetMs = databaseNowMs - (sentLocalMs + windowMs / 2);
    const contradicted = Math.abs(offsetMs - this.offsetMs) > windowMs / 2 + CLOCK_RESOLUTION_MS;
    if (contradicted || windowMs <= this.narrowestMs) {
      this.offsetMs = Math.round(offsetMs);
      this.narrowestMs = windowMs;
    } else {
      this.narrowestMs += BELIEF_AGES_MS;
    }
  }
}

/** Both clocks are read in whole milliseconds. */
const CLOCK_RESOLUTION_MS = 2;
/** How much wider a window may be, after each lesson, and still replace the one believed. */
const BELIEF_AGES_MS = 0.05;
