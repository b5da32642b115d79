import type { Logger } from 'pino';

export interface NextRun {
  readonly pauseMs: number;
}

/**
 * Does a piece of work again and again, with a pause between the end of one run and the start of the next, so that a
 * slow database is never asked twice at once. An error is told and changes nothing: the next run tries again.
 */
export class Repeater {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly pauseMs: number,
    /** May resolve with another pause until the next run. */
    private readonly work: () => Promise<NextRun | void>,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** The first run begins at once. */
  start(): void {
    this.running = this.run();
  }

  /** Resolves once a run that was under way has ended; none follows. */
  async stop(): Promise<void> {
    this.isStopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.running;
  }

  private async run(): Promise<void> {
    let pauseMs = this.pauseMs;
    try {
      pauseMs = (await this.work())?.pauseMs ?? pauseMs;
    } catch (error) {
      this.failed(error);
    }
    if (this.isStopped) return;
    // Workers that were started together drift apart, so that their sweeps do not meet for ever.
    this.timer = setTimeout(() => this.start(), pauseMs * (0.9 + 0.2 * Math.random()));
  }
}

/** A repeater that logs what failed, at most once in a while. */
export function sweep(
  log: Logger,
  name: string,
  pauseMs: number,
  work: () => Promise<NextRun | void>,
): Repeater {
  let lastToldMs = -Infinity;
  return new Repeater(pauseMs, work, (error) => {
    const nowMs = performance.now();
    if (nowMs - lastToldMs < TELL_AGAIN_MS) return;
    lastToldMs = nowMs;
    log.error({ err: error }, `sweep of ${name} failed`);
  });
}

/** While the database is away, a line a minute says so; one a second would bury everything else. */
const TELL_AGAIN_MS = 60_000;
