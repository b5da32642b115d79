import { randomBytes } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { DestinationStream } from 'pino';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { migrationNames, ownMigrationsDir } from '#adapters/postgres/migrate.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import { databaseProblem } from '#adapters/postgres/readiness.js';
import { PostgresRequestBuckets } from '#adapters/postgres/request-buckets.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import { generateApiKey } from '#adapters/secrets/api-key-text.js';
import { IdMaker } from '#domain/ids.js';
import { createLogger } from '#observability/logger.js';
import { createMetrics } from '#observability/metrics.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import type { ApiOptions } from './api.module.js';
import { installPlatformKey } from '#foundation/install-platform-key.js';
import { createApi } from './create-api.js';
import type { ErrorBody } from './http/error-answer.js';

/** One for all instances of a test file, as the processes of one installation share theirs. */
const ENCRYPTION_KEY = { id: 'test', key: randomBytes(32) };
/** Two requests at once must not wait for one connection. */
const CONNECTIONS_MAX = 4;
/** No test that asks quickly is about this. */
const API_RATE_PER_SECOND = 10_000;

export interface ApiAnswer<Body> {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  /** Parsed where it is JSON, else the text. */
  readonly body: Body;
}

export interface ApiCall {
  /** A key; null: none. The platform's if left out. */
  readonly key?: string | null;
  /** Sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An API process on a test database: everything real but the queue, which takes hints and forgets them. */
export interface ApiUnderTest {
  readonly app: NestFastifyApplication;
  readonly database: Database;
  /** Live in every instance that was started on the same database with it. */
  readonly platformKey: string;
  /** @param target method and path, such as `POST /v1/merchants` */
  call<Body = ErrorBody>(target: string, call?: ApiCall): Promise<ApiAnswer<Body>>;
  /** A new merchant and a key of it with all scopes. */
  merchant(): Promise<{ readonly id: string; readonly key: string }>;
  close(): Promise<void>;
}

export interface ApiUnderTestOptions {
  readonly databaseUrl: string;
  readonly platformKey?: string;
  readonly logTo?: DestinationStream;
  readonly overrides?: Partial<ApiOptions>;
}

export async function startApi(options: ApiUnderTestOptions): Promise<ApiUnderTest> {
  const { databaseUrl, platformKey = generateApiKey(randomBytes), logTo } = options;
  const database = connectDatabase(databaseUrl, CONNECTIONS_MAX);
  const statements = new PipelineStatements(databaseUrl, CONNECTIONS_MAX);
  const databaseClock = new DatabaseClock();
  await learnClock(database, databaseClock);
  await ensurePartitions(database, databaseClock.nowMs());
  const idMaker = new IdMaker(() => databaseClock.nowMs(), randomBytes);
  await installPlatformKey(database, platformKey, idMaker);
  const migrations = await migrationNames(ownMigrationsDir());
  const egressPolicy = new EgressPolicy({
    addresses: createAddressPolicy({ allowCidrs: ['127.0.0.0/8'] }),
    ports: [{ first: 1, last: 65_535 }],
    allowHttp: true,
  });
  const sender = new UndiciSender({ egress: egressPolicy });
  const app = await createApi({
    database,
    statements,
    databaseClock,
    idMaker,
    secretBox: new AesGcmSecretBox([ENCRYPTION_KEY]),
    cursorSecret: ENCRYPTION_KEY.key,
    egressPolicy,
    sender,
    hintQueue: { add: () => Promise.resolve(), waiting: () => Promise.resolve(0) },
    headerPrefix: 'X-Posthorn',
    requestBuckets: new PostgresRequestBuckets(database, API_RATE_PER_SECOND),
    apiRatePerSecond: API_RATE_PER_SECOND,
    trustedProxies: [],
    retentionDays: 30,
    logger: createLogger(
      logTo ? { level: 'debug', name: 'api', destination: logTo } : { level: 'silent', name: 'api' },
    ),
    metrics: createMetrics(),
    readinessChecks: [
      { name: 'database', problem: () => databaseProblem(database, migrations, databaseClock.nowMs()) },
    ],
    version: '0.0.0-test',
    ...options.overrides,
  });
  return new RunningApi(app, database, statements, platformKey, sender);
}

class RunningApi implements ApiUnderTest {
  constructor(
    readonly app: NestFastifyApplication,
    readonly database: Database,
    private readonly statements: PipelineStatements,
    readonly platformKey: string,
    private readonly sender: UndiciSender,
  ) {}

  async call<Body = ErrorBody>(target: string, call: ApiCall = {}): Promise<ApiAnswer<Body>> {
    const [method = '', url = ''] = target.split(' ', 2);
    const { key = this.platformKey, body, headers } = call;
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
    const response = await this.app.inject({
      method,
      url,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: isRaw ? body : JSON.stringify(body) }),
    });
    const isJson = String(response.headers['content-type']).startsWith('application/json');
    return {
      status: response.statusCode,
      headers: response.headers,
      body: (isJson ? response.json() : response.body) as Body,
    };
  }

  async merchant(): Promise<{ readonly id: string; readonly key: string }> {
    const { body } = await this.call<{ id: string }>('POST /v1/merchants', { body: { name: 'Test' } });
    const made = await this.call<{ key: string }>(`POST /v1/merchants/${body.id}/api-keys`, {
      body: { name: 'test' },
    });
    return { id: body.id, key: made.body.key };
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.sender.close(0);
    await Promise.all([this.database.$disconnect(), this.statements.close()]);
  }
}
