import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '#testkit/api-client.js';
import type { CrowdReceiver } from './crowd-receiver.js';

const POLL_MS = 100;
/** Far more than any machine takes. */
const GIVE_UP_MS = 15 * 60_000;

export interface Reopening {
  /** The POST, which counts. */
  readonly call_seconds: number;
  /** Until all were open again. */
  readonly reopened_seconds: number;
}

/** The recovery of one webhook, held until all of it is open: what opening costs is told apart from what a backlog does. */
export class RecoveryRun {
  constructor(
    private readonly client: ApiClient,
    private readonly webhookId: string,
    private readonly receiver: CrowdReceiver,
    private readonly signal: AbortSignal,
  ) {}

  async reopen(): Promise<Reopening> {
    await this.client.patch(`/v1/webhooks/${this.webhookId}`, { status: 'paused' });
    const startedMs = performance.now();
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const made = await this.client.post(`/v1/webhooks/${this.webhookId}/recoveries`, { since });
    if (made.status !== 202) throw new Error(`answered ${made.status} ${made.text}`);
    const call_seconds = secondsSince(startedMs);
    const path = `/v1/recoveries/${String(made.body['id'])}`;
    await this.until(async () => (await this.client.get(path)).body['status'] === 'completed');
    return { call_seconds, reopened_seconds: secondsSince(startedMs) };
  }

  /** @returns seconds */
  async deliver(requestsAfter: number): Promise<number> {
    const startedMs = performance.now();
    await this.client.patch(`/v1/webhooks/${this.webhookId}`, { status: 'enabled' });
    await this.until(() => this.receiver.requests >= requestsAfter);
    return secondsSince(startedMs);
  }

  private async until(isReached: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpMs = performance.now() + GIVE_UP_MS;
    while (!(await isReached())) {
      if (performance.now() > giveUpMs) throw new Error('the recovery did not come to its end');
      await delay(POLL_MS, undefined, { signal: this.signal });
    }
  }
}

function secondsSince(startedMs: number): number {
  return Math.round((performance.now() - startedMs) / 100) / 10;
}
