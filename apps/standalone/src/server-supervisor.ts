import { setTimeout as delay } from 'node:timers/promises';
import type { RunningServer } from '#adapters/postgres/embedded/server-process.js';

/** Waits before a server that ended by itself is started again; the last one repeats. */
const RESTART_WAITS_MS = [0, 500, 2_000];
const RESTART_WAIT_MS_MAX = 10_000;

/** Pools say that they have ended when they have hung up, and their sessions end some milliseconds later. */
const HANG_UP_TIMEOUT_MS = 1_000;

/** Keeps a server running, whatever ends it, until it is told to stop. */
export class ServerSupervisor {
  readonly #launch: () => Promise<RunningServer>;
  readonly #log: (line: string) => void;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #server: RunningServer;

  /** @param launch starts the server again, at the same address */
  constructor(server: RunningServer, launch: () => Promise<RunningServer>, log: (line: string) => void) {
    this.#server = server;
    this.#launch = launch;
    this.#log = log;
    this.#watching = this.#watch();
    process.on('exit', this.#onProcessExit);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#waitForLastSession();
    await this.#server.stop();
    // One that is just being started again is stopped there.
    await this.#watching;
    process.off('exit', this.#onProcessExit);
  }

  /**
   * A smart shutdown: the server takes no new sessions, and ends with the last one. Cut off instead, sessions that are just
   * ending would be errors in its log and in the pools that they belonged to.
   */
  async #waitForLastSession(): Promise<void> {
    signalServer(this.#server.pid, 'SIGTERM');
    const timer = new AbortController();
    const timeout = delay(HANG_UP_TIMEOUT_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([this.#server.exited, timeout]);
    timer.abort();
  }

  /** `process.exit` without stop(): the server ends by itself a moment later. */
  readonly #onProcessExit = (): void => {
    signalServer(this.#server.pid, 'SIGINT');
  };

  async #watch(): Promise<void> {
    for (;;) {
      await this.#server.exited;
      if (this.#isStopping()) return;
      this.#log('the embedded PostgreSQL ended by itself: starting it again');
      const server = await this.#startAgain();
      if (server === undefined) return;
      this.#server = server;
    }
  }

  async #startAgain(): Promise<RunningServer | undefined> {
    for (let failures = 0; ; failures += 1) {
      const { signal } = this.#stopping;
      await delay(RESTART_WAITS_MS[failures] ?? RESTART_WAIT_MS_MAX, undefined, { signal }).catch(
        () => undefined,
      );
      if (this.#isStopping()) return undefined;
      try {
        const server = await this.#launch();
        if (!this.#isStopping()) return server;
        await server.stop();
        return undefined;
      } catch (error) {
        this.#log(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }
}

function signalServer(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}
