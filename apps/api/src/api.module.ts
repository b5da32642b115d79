import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { KeyDirectory } from '#adapters/postgres/api-keys.js';
import type { Database, OrderedStatements } from '#adapters/postgres/database.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { IdempotentPosts } from '#adapters/postgres/idempotent-posts.js';
import type { IdMaker } from '#domain/ids.js';
import type { ReadinessCheck } from '#observability/readiness.js';
import { DispatchReport } from '#observability/dispatch-report.js';
import { RefusalReport } from '#observability/refusal-report.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import { type ReachFailpoint, UNARMED } from '#pipeline/failpoints.js';
import { hintBudgets } from '#pipeline/hint-budget.js';
import type { HintQueue } from '#pipeline/hint-queue.js';
import type { RequestBuckets } from '#pipeline/request-buckets.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Sender } from '#pipeline/sender.js';
import type { Brand } from '#pipeline/sign.js';
import { AuthenticationGuard } from './auth/authentication.guard.js';
import { KeyConfirmation } from './auth/key-confirmation.js';
import { FailedAuthentication } from './auth/failed-authentication.js';
import { KeyUseLog } from './auth/key-use-log.js';
import { PrincipalCache } from './auth/principal-cache.js';
import { RequestRate } from './auth/request-rate.js';
import { RequestRateGuard } from './auth/request-rate.guard.js';
import { ScopesGuard } from './auth/scopes.guard.js';
import { HealthController } from './health/health.controller.js';
import { BodyGuard } from './http/body.js';
import { ErrorFilter } from './http/error.filter.js';
import { ResourceGuard } from './http/resource.js';
import { RouteTable } from './http/route-table.js';
import type { ServerLimits } from './http/server-limits.js';
import { SchemaPipe } from './http/validation.js';
import { DocsController, OpenApiDocument } from './openapi/docs.controller.js';
import { Cursors } from './paging/cursors.js';
import { RESOURCE_MODULES } from './resources.js';
import {
  BRAND,
  DATABASE,
  STATEMENTS,
  DATABASE_CLOCK,
  EGRESS_POLICY,
  HEADER_PREFIX,
  HINT_QUEUE,
  ID_MAKER,
  LOGGER,
  METRICS,
  REACH_FAILPOINT,
  READINESS_CHECKS,
  RETENTION_DAYS,
  SECRET_BOX,
  SENDER,
} from './tokens.js';

/** Everything that the HTTP edge needs from outside. It closes none of it. */
export interface ApiOptions {
  readonly database: Database;
  /** Where the pipeline's statements run. */
  readonly statements: OrderedStatements;
  readonly secretBox: SecretBox;
  readonly egressPolicy: EgressPolicy;
  readonly hintQueue: HintQueue;
  /** For test calls. */
  readonly sender: Sender;
  readonly databaseClock: DatabaseClock;
  readonly idMaker: IdMaker;
  readonly requestBuckets: RequestBuckets;
  /** What `requestBuckets` hold by: the rate of a merchant's key. */
  readonly apiRatePerSecond: number;
  /** CIDRs of the peers whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** What page cursors are sealed with: the first encryption key. */
  readonly cursorSecret: Uint8Array;
  /** Brand of the headers that receivers get. */
  readonly headerPrefix: string;
  /** For how many days the log is kept. */
  readonly retentionDays: number;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly readinessChecks: readonly ReadinessCheck[];
  /** Posthorn's own version. */
  readonly version: string;
  /** For tests, which do not wait for minutes. */
  readonly serverLimits?: Partial<ServerLimits>;
  /** For tests by faults only. */
  readonly reachFailpoint?: ReachFailpoint;
}

@Module({})
export class ApiModule {
  /** Its providers are global: a resource folder's module imports nothing. */
  static register(options: ApiOptions): DynamicModule {
    const shared: Provider[] = [
      {
        provide: BRAND,
        useValue: {
          headerPrefix: options.headerPrefix,
          userAgent: `Posthorn/${options.version}`,
        } satisfies Brand,
      },
      { provide: DATABASE, useValue: options.database },
      { provide: STATEMENTS, useValue: options.statements },
      { provide: DATABASE_CLOCK, useValue: options.databaseClock },
      { provide: EGRESS_POLICY, useValue: options.egressPolicy },
      { provide: HEADER_PREFIX, useValue: options.headerPrefix },
      { provide: HINT_QUEUE, useValue: options.hintQueue },
      { provide: ID_MAKER, useValue: options.idMaker },
      { provide: LOGGER, useValue: options.logger },
      { provide: METRICS, useValue: options.metrics },
      { provide: REACH_FAILPOINT, useValue: options.reachFailpoint ?? UNARMED },
      { provide: READINESS_CHECKS, useValue: options.readinessChecks },
      { provide: RETENTION_DAYS, useValue: options.retentionDays },
      { provide: SECRET_BOX, useValue: options.secretBox },
      { provide: SENDER, useValue: options.sender },
      {
        provide: Dispatcher,
        useValue: new Dispatcher(
          new PostgresDeliveryStore(options.database, options.statements, options.secretBox),
          options.hintQueue,
          hintBudgets(options.hintQueue, () => performance.now()),
          new DispatchReport(options.logger, options.metrics),
        ),
      },
      { provide: KeyDirectory, useValue: new KeyDirectory(options.database) },
      { provide: IdempotentPosts, useValue: new IdempotentPosts(options.database, options.secretBox) },
      { provide: Cursors, useValue: new Cursors(options.cursorSecret) },
      {
        provide: RequestRate,
        useValue: new RequestRate(options.requestBuckets, options.apiRatePerSecond),
      },
      { provide: RefusalReport, useValue: new RefusalReport(options.logger, options.metrics) },
      PrincipalCache,
      FailedAuthentication,
      KeyUseLog,
    ];
    return {
      module: ApiModule,
      global: true,
      imports: [...RESOURCE_MODULES],
      controllers: [HealthController, DocsController],
      providers: [...shared, ...EDGE],
      exports: shared,
    };
  }
}

/** In the order of the contract's checks: 401, 429, 403, 404, then 415 and 400 with the parse of the body, then 422. */
const EDGE: Provider[] = [
  RouteTable,
  OpenApiDocument,
  KeyConfirmation,
  { provide: APP_FILTER, useClass: ErrorFilter },
  { provide: APP_GUARD, useClass: AuthenticationGuard },
  { provide: APP_GUARD, useClass: RequestRateGuard },
  { provide: APP_GUARD, useClass: ScopesGuard },
  { provide: APP_GUARD, useClass: ResourceGuard },
  { provide: APP_GUARD, useClass: BodyGuard },
  { provide: APP_PIPE, useClass: SchemaPipe },
];
