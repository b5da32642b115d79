import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Database } from '#adapters/postgres/database.js';
import { recordKeyUses } from '#adapters/postgres/record-key-uses.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { DATABASE, DATABASE_CLOCK, LOGGER } from '../tokens.js';

/** Nobody needs to know to the second when a key was last used; a write each request would cost more than the request. */
const FLUSH_MS = 60_000;
/** Locks on so many rows at once, and no more. */
const USES_PER_STATEMENT_MAX = 5_000;

/** When each key was last used, kept in memory and written once a minute and at the end. */
@Injectable()
export class KeyUseLog implements OnModuleInit, OnApplicationShutdown {
  #lastUsedMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(DATABASE_CLOCK) private readonly clock: DatabaseClock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  note(keyId: string): void {
    this.#lastUsedMs.set(keyId, this.clock.nowMs());
  }

  onModuleInit(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS).unref();
  }

  /** The server is closed by now: no request is under way. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  /** Writes what has been noted. What cannot be written is dropped: the next use of the key tells as much. */
  flush(): Promise<void> {
    // One after the other, so that a slow one does not pile up connections.
    this.#flushing = this.#flushing.then(() => this.#write());
    return this.#flushing;
  }

  async #write(): Promise<void> {
    const uses = [...this.#lastUsedMs].map(([keyId, usedMs]) => ({ keyId, usedAt: new Date(usedMs) }));
    this.#lastUsedMs = new Map();
    try {
      for (let start = 0; start < uses.length; start += USES_PER_STATEMENT_MAX) {
        await recordKeyUses(this.database, uses.slice(start, start + USES_PER_STATEMENT_MAX));
      }
    } catch (error) {
      this.logger.warn({ err: error, keys: uses.length }, 'when keys were last used could not be written');
    }
  }
}
