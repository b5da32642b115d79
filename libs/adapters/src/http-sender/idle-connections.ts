/** Enough for the bursts of one busy receiver; what one keeps beyond it is closed after its request. */
const IDLE_PER_KEY_MAX = 128;

/** Bounds the file descriptors that wait for nothing, whatever the number of receivers. */
const IDLE_MAX = 1_024;

export interface PoolableConnection {
  /** Where it goes and whom it may serve: connections of one key are as good as one another, those of two never are. */
  readonly key: string;
  readonly isOpen: boolean;
  destroy(): void;
}

export interface IdleLimits {
  readonly perKeyMax: number;
  readonly max: number;
}

/**
 * Connections that wait for their next request. Only idle ones are counted and capped: a cap on those in use would
 * make requests queue, and the time in the queue would come off the deadline of a receiver that has done nothing,
 * perhaps because of another merchant's endpoint on the same host. How many are in use is the caller's concurrency.
 */
export class IdleConnections<Connection extends PoolableConnection> {
  readonly #byKey = new Map<string, Connection[]>();
  /** In the order in which they became idle. */
  readonly #all = new Set<Connection>();
  readonly #limits: IdleLimits;

  constructor(limits: IdleLimits = { perKeyMax: IDLE_PER_KEY_MAX, max: IDLE_MAX }) {
    this.#limits = limits;
  }

  /** The one used last, which is the least likely to be closed by the receiver meanwhile. */
  take(key: string): Connection | null {
    for (;;) {
      const connection = this.#byKey.get(key)?.at(-1);
      if (connection === undefined) return null;
      this.#remove(connection);
      if (connection.isOpen) return connection;
    }
  }

  put(connection: Connection): void {
    if (!connection.isOpen) return;
    const siblingCount = this.#byKey.get(connection.key)?.length ?? 0;
    if (siblingCount >= this.#limits.perKeyMax) {
      connection.destroy();
      return;
    }
    if (this.#all.size >= this.#limits.max) this.#destroyOldest();
    // Not before: the oldest may have been the last of the same key.
    const siblings = this.#byKey.get(connection.key) ?? [];
    siblings.push(connection);
    this.#byKey.set(connection.key, siblings);
    this.#all.add(connection);
  }

  /** To be called for every connection that closes, idle or not. */
  forget(connection: Connection): void {
    if (this.#all.has(connection)) this.#remove(connection);
  }

  destroyAll(): void {
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#byKey.clear();
  }

  #destroyOldest(): void {
    const [oldest] = this.#all;
    if (oldest === undefined) return;
    this.#remove(oldest);
    oldest.destroy();
  }

  #remove(connection: Connection): void {
    this.#all.delete(connection);
    const siblings = this.#byKey.get(connection.key);
    if (siblings === undefined) return;
    const index = siblings.lastIndexOf(connection);
    if (index !== -1) siblings.splice(index, 1);
    if (siblings.length === 0) this.#byKey.delete(connection.key);
  }
}
