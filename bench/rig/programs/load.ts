import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { answerCalls } from '../child-program.js';
import { USUAL_DATA, USUAL_TYPE } from '../usual-event.js';

/** What a payments backend of several processes keeps open. */
const CONNECTIONS = 64;
const PACE_MS = 5;

export interface Load {
  readonly url: string;
  readonly platformKey: string;
  /** Whose events they are, in turn; a batch is of one of them. */
  readonly merchantIds: readonly string[];
  readonly seconds: number;
  /** Events in one call. */
  readonly batch: number;
  /** Posts no further while this many deliveries have not arrived, so that a run ends soon after its last post. */
  readonly waitingMax?: number;
  readonly deliveriesPerEvent?: number;
  /** As fast as the answers come, if left out. */
  readonly eventsPerSecond?: number;
}

export interface Posted {
  readonly events: number;
  readonly seconds: number;
}

let received = 0;

/** The platform's backend, at full speed: over 64 connections, each posts again when it has its 202. */
const calls = {
  /** Tells a run under way how many deliveries have arrived since it began. */
  arrived: (count: number): void => {
    received = count;
  },
  async run(load: Load): Promise<Posted> {
    const { batch, waitingMax = Infinity, deliveriesPerEvent = 1, eventsPerSecond = Infinity } = load;
    const bodies = load.merchantIds.map((merchantId) => {
      const event = JSON.stringify({ merchant_id: merchantId, type: USUAL_TYPE, data: USUAL_DATA });
      return batch === 1 ? event : `{"events":[${Array(batch).fill(event).join()}]}`;
    });
    const path = batch === 1 ? '/v1/events' : '/v1/events/batch';
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${load.platformKey}` };
    const pool = new Pool(load.url, { connections: CONNECTIONS, pipelining: 1, allowH2: false });
    received = 0;
    let events = 0;
    const startedMs = performance.now();
    const endsAtMs = startedMs + load.seconds * 1_000;
    const mustWait = (): boolean =>
      events * deliveriesPerEvent - received >= waitingMax ||
      events >= ((performance.now() - startedMs) / 1_000) * eventsPerSecond;
    const loop = async (): Promise<void> => {
      while (performance.now() < endsAtMs) {
        if (mustWait()) {
          await delay(PACE_MS);
          continue;
        }
        const body = bodies[(events / batch) % bodies.length] ?? null;
        events += batch;
        const answer = await pool.request({ method: 'POST', path, headers, body });
        if (answer.statusCode !== 202) throw new Error(`an event was answered ${answer.statusCode}`);
        await answer.body.dump();
      }
    };
    try {
      await Promise.all(Array.from({ length: CONNECTIONS }, loop));
      return { events, seconds: (performance.now() - startedMs) / 1_000 };
    } finally {
      await pool.destroy();
    }
  },
};
export type LoadCalls = typeof calls;
answerCalls(calls);
