/** What the root module hands to the resource folders, by name: `@Inject(DATABASE) database: Database`. */

/** `Database` of #adapters/postgres/database.js */
export const DATABASE = Symbol('DATABASE');
export const STATEMENTS = Symbol('STATEMENTS');
/** `SecretBox` of #pipeline/secret-box.js */
export const SECRET_BOX = Symbol('SECRET_BOX');
/** `EgressPolicy` of #adapters/http-sender/egress-policy.js */
export const EGRESS_POLICY = Symbol('EGRESS_POLICY');
/** `HintQueue` of #pipeline/hint-queue.js */
export const HINT_QUEUE = Symbol('HINT_QUEUE');
/** `IdMaker` of #domain/ids.js, on PostgreSQL's clock */
export const ID_MAKER = Symbol('ID_MAKER');
/** `DatabaseClock` of #pipeline/database-clock.js, the one that `ID_MAKER` reads */
export const DATABASE_CLOCK = Symbol('DATABASE_CLOCK');
/** `number`: for how many days the log is kept */
export const RETENTION_DAYS = Symbol('RETENTION_DAYS');
/** `string`: the brand of the headers that receivers get, such as `X-Posthorn` */
export const HEADER_PREFIX = Symbol('HEADER_PREFIX');
/** `Brand` of #pipeline/sign.js */
export const BRAND = Symbol('BRAND');
/** `Sender` of #pipeline/sender.js: the one way out */
export const SENDER = Symbol('SENDER');
/** `pino.Logger` */
export const LOGGER = Symbol('LOGGER');
/** `Registry` of prom-client */
export const METRICS = Symbol('METRICS');
/** `readonly ReadinessCheck[]` of #observability/readiness.js */
export const READINESS_CHECKS = Symbol('READINESS_CHECKS');
/** `ReachFailpoint` of #pipeline/failpoints.js */
export const REACH_FAILPOINT = Symbol('REACH_FAILPOINT');
