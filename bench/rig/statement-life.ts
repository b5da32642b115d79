import { randomBytes, randomUUID } from 'node:crypto';
import { claimDeliveries } from '#adapters/postgres/claim-deliveries.js';
import type { Statements } from '#adapters/postgres/database.js';
import { settleDeliveries } from '#adapters/postgres/settle-deliveries.js';
import { writeAccepted } from '#adapters/postgres/write-accepted.js';
import { IdMaker } from '#domain/ids.js';
import type { AttemptRecord, Claimed } from '#pipeline/delivery-store.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import { threadCpuUs } from './process-usage.js';
import { USUAL_DATA, USUAL_TYPE } from './usual-event.js';

export const ENDPOINTS = 50;
export const STEPS = ['accept', 'claim', 'settle'] as const;
type Step = (typeof STEPS)[number];

/** Microseconds of one statement. */
interface Costs {
  postgres: number;
  node: number;
}

/** Accepts, claims and settles the same number of deliveries again and again, and keeps account. */
export class StatementLife {
  readonly #clock = new DatabaseClock();
  readonly #ids = new IdMaker(() => Date.now(), randomBytes);
  readonly #data = Buffer.from(JSON.stringify(USUAL_DATA));
  #costs = nothing();

  private constructor(
    private readonly statements: Statements,
    private readonly backendPid: number,
    private readonly merchantId: string,
    private readonly endpointIds: readonly string[],
    private readonly catalogueVersion: bigint,
  ) {}

  static async begin(statements: Statements): Promise<StatementLife> {
    const merchantId = randomUUID();
    const endpointIds = Array.from({ length: ENDPOINTS }, () => randomUUID());
    await statements.$executeRaw`INSERT INTO merchants (id, name) VALUES (${merchantId}::uuid, 'statements')`;
    await statements.$executeRaw`
      INSERT INTO endpoints (id, merchant_id, url, events, max_in_flight)
      SELECT id, ${merchantId}::uuid, 'http://127.0.0.1/', '{*}', 1000 FROM unnest(${endpointIds}::uuid[]) AS e (id)`;
    await statements.$executeRaw`
      INSERT INTO endpoint_gates (endpoint_id, merchant_id)
      SELECT id, ${merchantId}::uuid FROM unnest(${endpointIds}::uuid[]) AS e (id)`;
    const [row] = await statements.$queryRaw<{ pid: number; version: bigint }[]>`
      SELECT pg_backend_pid() AS pid, version FROM event_type_catalogue`;
    if (row === undefined) throw new Error('the database has no catalogue of event types');
    return new StatementLife(statements, row.pid, merchantId, endpointIds, row.version);
  }

  reset(): void {
    this.#costs = nothing();
  }

  perRow(rows: number): Record<Step, Costs> {
    const of = ({ postgres, node }: Costs): Costs => ({ postgres: postgres / rows, node: node / rows });
    const { accept, claim, settle } = this.#costs;
    return { accept: of(accept), claim: of(claim), settle: of(settle) };
  }

  async round(rows: number): Promise<void> {
    const nowMs = Date.now();
    const deliveryIds = Array.from({ length: rows }, () => this.#ids.uuidAt(nowMs));
    const written = await this.#account('accept', () =>
      writeAccepted(this.statements, this.#batch(deliveryIds, nowMs), this.#clock),
    );
    if (written.kind !== 'written') throw new Error(`accept wrote nothing: ${written.kind}`);
    const wanted = deliveryIds.map((deliveryId) => ({
      deliveryId,
      leaseToken: randomUUID(),
      attemptId: this.#ids.uuidAt(nowMs),
    }));
    const rooms = { perEndpoint: 1_000, endpoints: [], perMerchant: 1_000, merchants: [] };
    const claimed = await this.#account('claim', () =>
      claimDeliveries(this.statements, 'fast', wanted, rooms),
    );
    if (claimed.length !== rows) throw new Error(`of ${rows} deliveries, ${claimed.length} were claimed`);
    await this.#account('settle', () => settleDeliveries(this.statements, claimed.map(succeeded)));
  }

  #batch(deliveryIds: readonly string[], nowMs: number) {
    const { merchantId, endpointIds } = this;
    return {
      merchants: [{ id: merchantId, configVersion: 1n }],
      catalogueVersion: this.catalogueVersion,
      apiKeyIds: [],
      idempotencyKeys: [],
      events: deliveryIds.map(() => ({
        id: this.#ids.uuidAt(nowMs),
        merchantId,
        type: USUAL_TYPE,
        data: this.#data,
        createdAtMs: nowMs,
        createdAtText: null,
        orderingKey: null,
        producerId: null,
        deliverAtMs: null,
        deliveryCount: 1,
        redact: [],
      })),
      deliveries: deliveryIds.map((id, eventIndex) => ({
        id,
        eventIndex,
        endpointId: endpointIds[eventIndex % endpointIds.length] as string,
        payloadFormat: 'envelope' as const,
        hasPayloadConflict: false,
        isHinted: true,
      })),
    };
  }

  async #account<Result>(step: Step, statement: () => Promise<Result>): Promise<Result> {
    const [before, ours] = [threadCpuUs(this.backendPid), process.cpuUsage()];
    const result = await statement();
    const { user, system } = process.cpuUsage(ours);
    this.#costs[step].postgres += threadCpuUs(this.backendPid) - before;
    this.#costs[step].node += user + system;
    return result;
  }
}

function nothing(): Record<Step, Costs> {
  return {
    accept: { postgres: 0, node: 0 },
    claim: { postgres: 0, node: 0 },
    settle: { postgres: 0, node: 0 },
  };
}

function succeeded(claim: Claimed) {
  return { claim, attempt: ATTEMPT, step: { kind: 'succeeded' } as const };
}

/** As a receiver of Node's gives rise to. */
const ATTEMPT: AttemptRecord = {
  outcome: 'succeeded',
  startedAtMs: Date.now(),
  durationMs: 5,
  statusCode: 200,
  errorCode: null,
  errorMessage: null,
  requestUrl: 'http://127.0.0.1/',
  requestHeaders: [
    ['content-type', 'application/json'],
    ['user-agent', 'Posthorn/0.0.0'],
    ['X-Posthorn-Event-Id', 'evt_00000000000000000000000000'],
    ['X-Posthorn-Event-Type', USUAL_TYPE],
    ['X-Posthorn-Delivery-Id', 'dlv_00000000000000000000000000'],
    ['X-Posthorn-Attempt', '1'],
    ['X-Posthorn-Signature', '***'],
  ],
  responseHeaders: [
    ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
    ['connection', 'keep-alive'],
    ['content-length', '0'],
  ],
  responseBody: new Uint8Array(),
  responseBodyTruncated: false,
  remoteAddress: '127.0.0.1',
};
