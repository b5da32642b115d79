import { Redis } from 'ioredis';

const SAMPLE_MS = 250;

/** Watches what a Redis holds in memory, by its own account. */
export class RedisMemory {
  readonly #redis: Redis;
  readonly #timer: NodeJS.Timeout;
  #reading: Promise<void> = Promise.resolve();
  #bytesMax = 0;

  constructor(url: string) {
    this.#redis = new Redis(url);
    this.#timer = setInterval(() => {
      this.#reading = this.#reading.then(() => this.#read());
    }, SAMPLE_MS);
  }

  /** `used_memory`, the most of what was seen, in bytes. */
  get bytesMax(): number {
    return this.#bytesMax;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#reading;
    this.#redis.disconnect();
  }

  async #read(): Promise<void> {
    const used = /^used_memory:(\d+)/m.exec(await this.#redis.info('memory'))?.[1];
    this.#bytesMax = Math.max(this.#bytesMax, Number(used));
  }
}
