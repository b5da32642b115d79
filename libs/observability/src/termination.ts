/** npm forwards a terminal's Ctrl-C that Node has already had, so the same signal comes twice at about the same time. */
const SAME_SIGNAL_WINDOW_MS = 2_000;

export interface TerminationOptions {
  /** Lets what is under way finish and closes everything. Called once. */
  readonly stop: (signal: NodeJS.Signals) => Promise<void>;
  /** The process exits at the latest this long after the signal, whatever still runs. */
  readonly deadlineMs: number;
  readonly onError: (error: unknown) => void;
}

/**
 * Stops the process in order on SIGTERM, SIGINT and SIGHUP (a terminal that was closed): exit code 0 when everything
 * closed in time, else 1. A second signal within 2 s is the same one; a later one ends the process at once.
 */
export function stopOnSignals({ stop, deadlineMs, onError }: TerminationOptions): void {
  let firstAtMs: number | null = null;
  const onSignal = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (firstAtMs !== null) {
      if (nowMs - firstAtMs > SAME_SIGNAL_WINDOW_MS) process.exit(1);
      return;
    }
    firstAtMs = nowMs;
    const deadline = setTimeout(() => process.exit(1), deadlineMs);
    deadline.unref();
    stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        onError(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('SIGHUP', onSignal);
  // With its terminal or its reader gone, a line that cannot be written must not end the process before its time.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}
