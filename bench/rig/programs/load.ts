import { setTimeout as delay } from 'node:timers/promises';
import { answerCalls } from '../child-program.js';
import { RawConnection, rawPost } from '../raw-connection.js';
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
    const url = new URL(batch === 1 ? '/v1/events' : '/v1/events/batch', load.url);
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${load.platformKey}` };
    const requests = load.merchantIds.map((merchantId) => {
      const event = JSON.stringify({ merchant_id: merchantId, type: USUAL_TYPE, data: USUAL_DATA });
      return rawPost(url, headers, batch === 1 ? event : `{"events":[${Array(batch).fill(event).join()}]}`);
    });
    const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => RawConnection.open(url)));
    received = 0;
    let events = 0;
    const startedMs = performance.now();
    const endsAtMs = startedMs + load.seconds * 1_000;
    const mustWait = (): boolean =>
      events * deliveriesPerEvent - received >= waitingMax ||
      events >= ((performance.now() - startedMs) / 1_000) * eventsPerSecond;
    const loop = async (connection: RawConnection): Promise<void> => {
      while (performance.now() < endsAtMs) {
        if (mustWait()) {
          await delay(PACE_MS);
          continue;
        }
        const request = requests[(events / batch) % requests.length] as Buffer;
        events += batch;
        const status = await connection.post(request);
        if (status !== 202) throw new Error(`an event was answered ${String(status)}`);
      }
    };
    try {
      await Promise.all(connections.map(loop));
      return { events, seconds: (performance.now() - startedMs) / 1_000 };
    } finally {
      for (const connection of connections) connection.close();
    }
  },
};
export type LoadCalls = typeof calls;
answerCalls(calls);
