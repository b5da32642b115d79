import { setTimeout as delay } from 'node:timers/promises';
import { problemsOf, type ReportRow, reportTable, summaryOf } from './delivery-report.js';
import { DemoError } from './demo-error.js';
import type { Delivery, PosthornApi } from './posthorn-api.js';
import { DemoReceiver } from './receiver.js';
import {
  SAMPLE_MERCHANTS,
  type SampleEndpoint,
  type SampleEvent,
  type SampleMerchant,
} from './sample-merchants.js';
import type { Terminal } from './terminal.js';

/** The longest way to a final delivery here has waits of 1 s and 4 s; beyond this nobody is delivering. */
const FINAL_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

const FINAL_STATUSES: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled']);

interface Registered {
  readonly merchant: SampleMerchant;
  readonly merchantId: string;
  readonly endpointsById: ReadonlyMap<string, SampleEndpoint>;
}

export interface DemoOptions {
  readonly api: PosthornApi;
  readonly terminal: Terminal;
  /** Whether the merchants and their webhooks stay. */
  readonly keep: boolean;
  /** Ends it early; what was made is removed all the same. */
  readonly signal: AbortSignal;
}

/**
 * Registers a receiver for two merchants, sends their events, waits for every delivery and prints the log.
 *
 * @returns whether every delivery ended as expected and every signature was verified
 * @throws {DemoError} when it cannot be done, and what `signal` was aborted with
 */
export async function runDemo({ api, terminal, keep, signal }: DemoOptions): Promise<boolean> {
  await api.check(signal);
  const receiver = await DemoReceiver.start();
  const made = new MadeThings(api);
  try {
    terminal.print(`Posthorn on ${api.url}; a receiver that verifies signatures on ${receiver.url}`, '');
    const registered: Registered[] = [];
    for (const merchant of SAMPLE_MERCHANTS) {
      registered.push(await register(merchant, { api, receiver, made, signal }));
      terminal.print(...introduction(merchant));
    }
    const startedMs = performance.now();
    const deliveriesExpected = await sendEvents(registered, api, signal);
    const rows = await finalRows(registered, { api, terminal, receiver, deliveriesExpected, signal });
    const seconds = (performance.now() - startedMs) / 1000;
    terminal.print('', ...reportTable(rows, terminal), '');
    return conclude(rows, seconds, terminal);
  } finally {
    terminal.endProgress();
    try {
      if (!keep) await made.remove();
    } finally {
      await receiver.close();
    }
    if (made.count > 0) terminal.print(terminal.styled('dim', afterwards(keep)));
  }
}

/** What the demo has made on the server, to be removed in the opposite order. */
class MadeThings {
  readonly #removals: (() => Promise<void>)[] = [];
  count = 0;

  constructor(private readonly api: PosthornApi) {}

  merchant(id: string): void {
    this.#add(() => this.api.deleteMerchant(id));
  }

  webhook(id: string): void {
    this.#add(() => this.api.deleteWebhook(id));
  }

  async remove(): Promise<void> {
    for (let removal = this.#removals.pop(); removal !== undefined; removal = this.#removals.pop()) {
      await removal();
    }
  }

  #add(removal: () => Promise<void>): void {
    this.#removals.push(removal);
    this.count += 1;
  }
}

async function register(
  merchant: SampleMerchant,
  parts: {
    readonly api: PosthornApi;
    readonly receiver: DemoReceiver;
    readonly made: MadeThings;
    readonly signal: AbortSignal;
  },
): Promise<Registered> {
  const { api, receiver, made, signal } = parts;
  const { id: merchantId } = await api.createMerchant(
    { name: merchant.name, dialect: merchant.dialect },
    signal,
  );
  made.merchant(merchantId);
  const endpointsById = new Map<string, SampleEndpoint>();
  for (const endpoint of merchant.endpoints) {
    const { path, events, dialect, signatures, refusals = 0 } = endpoint;
    const fields = { merchant_id: merchantId, url: `${receiver.url}${path}`, events, dialect, signatures };
    const webhook = await api.createWebhook(fields, signal);
    made.webhook(webhook.id);
    receiver.route(path, { secret: webhook.secret, signatures: webhook.signatures, refusals });
    endpointsById.set(webhook.id, endpoint);
  }
  return { merchant, merchantId, endpointsById };
}

function introduction({ name, dialect, endpoints, events }: SampleMerchant): string[] {
  const paths = endpoints.map(({ path, refusals }) =>
    refusals === undefined ? path : `${path} (answers 500 ${times(refusals)} before it accepts)`,
  );
  return [
    `${name}, dialect ${dialect}`,
    `  endpoints  ${paths.join(' ')}`,
    `  events     ${events.map(({ type }) => type).join(' ')}`,
  ];
}

function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`;
}

/** @returns how many deliveries the server has made of them */
async function sendEvents(
  registered: readonly Registered[],
  api: PosthornApi,
  signal: AbortSignal,
): Promise<number> {
  let deliveries = 0;
  for (const { merchant, merchantId } of registered) {
    for (const event of merchant.events) {
      deliveries += (await api.sendEvent(eventBody(merchantId, event), signal)).deliveries;
    }
  }
  return deliveries;
}

function eventBody(merchantId: string, { type, id, createdAt, data }: SampleEvent): string {
  const fields = JSON.stringify({ merchant_id: merchantId, type, id, created_at: createdAt });
  return `${fields.slice(0, -1)},"data":${data}}`;
}

async function finalRows(
  registered: readonly Registered[],
  parts: {
    readonly api: PosthornApi;
    readonly terminal: Terminal;
    readonly receiver: DemoReceiver;
    readonly deliveriesExpected: number;
    readonly signal: AbortSignal;
  },
): Promise<ReportRow[]> {
  const { api, terminal, receiver, deliveriesExpected, signal } = parts;
  const deadlineMs = performance.now() + FINAL_TIMEOUT_MS;
  for (;;) {
    const logs = await Promise.all(registered.map(({ merchantId }) => api.deliveries(merchantId, signal)));
    const deliveries = logs.flat();
    const open = deliveries.filter(({ status }) => !FINAL_STATUSES.has(status));
    if (open.length === 0 && deliveries.length === deliveriesExpected) {
      return registered.flatMap((entry, index) => rowsOf(entry, logs[index] ?? [], receiver));
    }
    if (performance.now() > deadlineMs) {
      throw new DemoError(
        `${open.length} of ${deliveriesExpected} deliveries are not final after ${FINAL_TIMEOUT_MS / 1000} s: ` +
          'is a worker running?',
      );
    }
    terminal.progress(progressOf(deliveriesExpected, open));
    await delay(POLL_MS, undefined, { signal });
  }
}

function progressOf(expected: number, open: readonly Delivery[]): string {
  const retrying = open.filter(({ status }) => status === 'retrying').length;
  const rest = retrying === 0 ? '' : `, ${retrying} waiting to be tried again`;
  return `${expected - open.length} of ${expected} deliveries are final${rest}`;
}

function rowsOf(
  { merchant, endpointsById }: Registered,
  deliveries: readonly Delivery[],
  receiver: DemoReceiver,
): ReportRow[] {
  return deliveries.toReversed().flatMap((delivery) => {
    const endpoint = endpointsById.get(delivery.webhook_id);
    if (endpoint === undefined) return [];
    const receipts = receiver.receipts.filter(({ deliveryId }) => deliveryId === delivery.id);
    return [{ merchant, endpoint, delivery, receipts }];
  });
}

function conclude(rows: readonly ReportRow[], seconds: number, terminal: Terminal): boolean {
  const problems = rows.flatMap((row) =>
    problemsOf(row).map((problem) => `${row.delivery.event_type} to ${row.endpoint.path} ${problem}`),
  );
  if (problems.length === 0) {
    terminal.print(`${terminal.styled('green', '✔')} ${summaryOf(rows, seconds)}`);
    return true;
  }
  terminal.print(
    ...problems.map((problem) => `${terminal.styled('red', '✘')} ${problem}`),
    terminal.styled('red', `${rows.length} deliveries, and not all as expected`),
  );
  return false;
}

function afterwards(keep: boolean): string {
  return keep
    ? 'The merchants and their webhooks stay; their receiver is gone.'
    : 'The merchants and their webhooks are removed again; --keep leaves them.';
}
