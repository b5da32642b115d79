import { ApiClient } from '../api-client.js';
import { eventually } from '../eventually.js';
import {
  type InstallationOptions,
  type Installation,
  type PosthornProcess,
  startInstallation,
} from '../processes.js';
import { type Receiver, startReceiver } from '../receiver/receiver.js';
import { EventLoad } from './event-load.js';
import { distributionOf, recordFault } from './fault-record.js';
import { judge, type KnownWebhook, type Verdict, withClient } from './oracle.js';

/**
 * Real processes, a receiver that keeps its own ledger, and two merchants: the first with two endpoints, the second with
 * one, so that an event has one delivery or two. Their timeout is short, because a lease outlives it by 5 s and some faults
 * are over only when leases end.
 */
export async function startFaultRig(options: InstallationOptions): Promise<FaultRig> {
  const installation = await startInstallation(options);
  const receiver = await startReceiver();
  const rig = new FaultRig(installation, receiver);
  try {
    await rig.addMerchant(2);
    await rig.addMerchant(1);
  } catch (error) {
    await rig.close();
    throw error;
  }
  return rig;
}

export class FaultRig {
  readonly merchantIds: string[] = [];
  readonly webhooks: KnownWebhook[] = [];
  private readonly loads: EventLoad[] = [];
  private fault: { beganAtUnixMs: number; endedAtUnixMs: number } | null = null;

  constructor(
    readonly installation: Installation,
    readonly receiver: Receiver,
  ) {}

  /** A client of an API that is there now. */
  get client(): ApiClient {
    const [url] = this.apiUrls();
    if (url === undefined) throw new Error('no API is running');
    return new ApiClient(url, this.installation.platformKey);
  }

  apiUrls(): string[] {
    return this.installation.apis.filter(isRunning).map(({ url }) => url);
  }

  liveWorkers(): PosthornProcess[] {
    return this.installation.workers.filter(isRunning);
  }

  /** @param fields further fields of its webhooks */
  async addMerchant(
    webhooks: number,
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<KnownWebhook[]> {
    const merchantId = await this.client.newMerchant();
    this.merchantIds.push(merchantId);
    const added: KnownWebhook[] = [];
    for (let n = 0; n < webhooks; n++) {
      const path = `/hook-${this.webhooks.length}`;
      const { id, secret } = await this.client.newWebhook(merchantId, this.receiver.url(path), {
        timeout_ms: TIMEOUT_MS,
        ...fields,
      });
      const webhook = { id, merchantId, path, secrets: [secret] };
      added.push(webhook);
      this.webhooks.push(webhook);
    }
    return added;
  }

  /** @param merchantIds all if left out */
  load(perSecond: number, merchantIds: readonly string[] = this.merchantIds): EventLoad {
    const load = new EventLoad({
      apiUrls: () => this.apiUrls(),
      key: this.installation.platformKey,
      merchantIds,
      prefix: `load${this.loads.length}`,
      perSecond,
    });
    this.loads.push(load);
    return load;
  }

  /**
   * Does to the installation what it is to survive, from the first harm to the moment when everything is whole again:
   * times to recover are counted from there.
   */
  async during<Result>(inject: () => Promise<Result>): Promise<Result> {
    const beganAtUnixMs = Date.now();
    const result = await inject();
    this.fault = { beganAtUnixMs, endedAtUnixMs: Date.now() };
    return result;
  }

  /** Resolves once every delivery that is in the database has succeeded. */
  async settled(timeoutMs: number): Promise<void> {
    await eventually(async () => {
      const open = await withClient(this.installation.database.databaseUrl, async (client) => {
        const { rows } = await client.query<{ status: string; count: number }>(
          `SELECT status, count(*)::int AS count FROM deliveries WHERE status <> 'succeeded' GROUP BY status
           UNION ALL SELECT 'open', count(*)::int FROM open_deliveries HAVING count(*) > 0`,
        );
        return rows;
      });
      if (open.length > 0) throw new Error(`not all deliveries have succeeded: ${JSON.stringify(open)}`);
    }, timeoutMs);
  }

  /**
   * Joins all evidence, records the fault's row of the table, and tells what it cost.
   *
   * @param hasEnded false where some deliveries are still under way by design
   * @throws Error with everything that the oracle found wrong
   */
  async verdict(fault: string, { hasEnded = true } = {}): Promise<Verdict> {
    if (this.fault === null) throw new Error('nothing was injected: call during() first');
    const verdict = await judge(
      {
        databaseUrl: this.installation.database.databaseUrl,
        accepted: new Map(this.loads.flatMap(({ accepted }) => [...accepted])),
        tried: new Set(this.loads.flatMap(({ tried }) => [...tried])),
        requests: this.receiver.requests,
        webhooks: this.webhooks,
        fault: this.fault,
      },
      hasEnded,
    );
    const { lost, duplicates, violations, recoveryMs } = verdict;
    recordFault({
      fault,
      lost,
      duplicates,
      recoveryMs: distributionOf(recoveryMs),
      deliveries: recoveryMs.length,
    });
    if (violations.length > 0) {
      const shown = violations.slice(0, VIOLATIONS_SHOWN_MAX).join('\n');
      throw new Error(`${lost} events lost, ${violations.length} contradictions:\n${shown}`);
    }
    return verdict;
  }

  async close(): Promise<void> {
    await Promise.all(this.loads.map((load) => load.abort()));
    await this.installation.close();
    await this.receiver.close();
  }
}

function isRunning({ child }: PosthornProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

const VIOLATIONS_SHOWN_MAX = 20;
const TIMEOUT_MS = 2_000;
