-- Ordinary tables: written through Prisma's client.

CREATE TABLE merchants (
  id                     uuid PRIMARY KEY,
  name                   text NOT NULL,
  external_id            text UNIQUE,
  dialect                text NOT NULL DEFAULT 'posthorn',
  payload_retention_days integer,
  metadata               jsonb NOT NULL DEFAULT '{}',
  status                 text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'erasing')),
  -- Raised by every change that decides which endpoints get an event. Accept re-reads it in its own
  -- transaction, so that a cached match can never miss an endpoint made a moment ago elsewhere.
  config_version         bigint NOT NULL DEFAULT 1,
  created_at             timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id           uuid PRIMARY KEY,
  merchant_id  uuid REFERENCES merchants (id),
  name         text NOT NULL,
  -- The first characters, shown in lists so that a person can tell keys apart.
  prefix       text NOT NULL,
  key_hash     bytea NOT NULL UNIQUE,
  scopes       text[] NOT NULL,
  source       text NOT NULL DEFAULT 'api' CHECK (source IN ('api', 'environment')),
  expires_at   timestamptz(3),
  revoked_at   timestamptz(3),
  last_used_at timestamptz(3),
  created_at   timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_merchant ON api_keys (merchant_id, id);
CREATE UNIQUE INDEX api_keys_one_from_environment ON api_keys (source) WHERE source = 'environment' AND revoked_at IS NULL;

CREATE TABLE endpoints (
  id                     uuid PRIMARY KEY,
  merchant_id            uuid NOT NULL REFERENCES merchants (id),
  url                    text NOT NULL,
  events                 text[] NOT NULL,
  description            text,
  status                 text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'paused', 'disabled')),
  disabled_reason        text CHECK (disabled_reason IN ('manual', 'gone', 'failing')),
  -- NULL in these four means: as the merchant's dialect says.
  dialect                text,
  payload_format         text,
  signatures             jsonb,
  retry_schedule_seconds jsonb,
  timeout_ms             integer NOT NULL DEFAULT 10000,
  -- Sealed JSON of the merchant's own headers, values included.
  headers_sealed         bytea,
  rate_limit_per_second  integer,
  max_in_flight          integer NOT NULL DEFAULT 100,
  ordered                boolean NOT NULL DEFAULT false,
  ordering_on_failure    text NOT NULL DEFAULT 'skip' CHECK (ordering_on_failure IN ('skip', 'block')),
  sequenced              boolean NOT NULL DEFAULT false,
  filter                 jsonb,
  success_statuses       jsonb,
  required_response      jsonb,
  forward_traceparent    boolean NOT NULL DEFAULT false,
  client_certificate_sealed bytea,
  metadata               jsonb NOT NULL DEFAULT '{}',
  -- Raised by every change of this row, its secrets or its merchant's dialect: the key of workers' caches.
  version                bigint NOT NULL DEFAULT 1,
  created_at             timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now(),
  deleted_at             timestamptz(3)
);
CREATE INDEX endpoints_merchant ON endpoints (merchant_id, id) WHERE deleted_at IS NULL;

CREATE TABLE endpoint_secrets (
  id          uuid PRIMARY KEY,
  endpoint_id uuid NOT NULL REFERENCES endpoints (id),
  sealed      bytea NOT NULL,
  created_at  timestamptz(3) NOT NULL DEFAULT now(),
  -- NULL: the current secret. Otherwise the end of its overlap.
  expires_at  timestamptz(3)
);
CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint_id, id);

-- May this endpoint send, and how is it doing? Pause, breaker and rate write this row and nothing else.
CREATE TABLE endpoint_gates (
  endpoint_id           uuid PRIMARY KEY REFERENCES endpoints (id),
  merchant_id           uuid NOT NULL,
  status                text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'paused', 'disabled')),
  -- Leases that are out. Repaired from open_deliveries, because a process that is killed gives nothing back.
  in_flight             integer NOT NULL DEFAULT 0,
  lane                  text NOT NULL DEFAULT 'fast' CHECK (lane IN ('fast', 'slow')),
  -- When a slow endpoint that has stayed quick may be taken for fast again.
  lane_until            timestamptz,
  breaker_state         text NOT NULL DEFAULT 'closed' CHECK (breaker_state IN ('closed', 'open', 'draining')),
  breaker_changed_at    timestamptz,
  breaker_probe_at      timestamptz,
  breaker_probe_wait_ms integer,
  -- What ended since the window began: the breaker's evidence.
  window_started_at     timestamptz,
  window_attempts       integer NOT NULL DEFAULT 0,
  window_failures       integer NOT NULL DEFAULT 0,
  -- A token bucket that holds one second of the rate.
  rate_tokens           double precision NOT NULL DEFAULT 1,
  rate_refilled_at      timestamptz NOT NULL DEFAULT now(),
  consecutive_failures  integer NOT NULL DEFAULT 0,
  last_success_at       timestamptz(3),
  last_failure_at       timestamptz(3)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE endpoint_sequences (
  endpoint_id   uuid PRIMARY KEY REFERENCES endpoints (id),
  last_sequence bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE event_types (
  name                   text PRIMARY KEY,
  description            text,
  schema                 jsonb,
  example                jsonb,
  redact                 text[] NOT NULL DEFAULT '{}',
  retry_schedule_seconds integer[],
  archived_at            timestamptz(3),
  created_at             timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now()
);

-- One row for each producer's event id (kept as long as the event) and each Idempotency-Key (24 h).
CREATE TABLE idempotency_keys (
  kind            text NOT NULL CHECK (kind IN ('event', 'header')),
  key             text NOT NULL,
  -- The nil UUID where a key belongs to the platform and to no one merchant.
  merchant_id     uuid NOT NULL,
  content_hash    bytea NOT NULL,
  event_ids       uuid[],
  response_status integer,
  -- Sealed, because answers to POST may hold secrets that are shown once.
  response_sealed bytea,
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  expires_at      timestamptz(3),
  PRIMARY KEY (kind, key, merchant_id)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE recoveries (
  id              uuid PRIMARY KEY,
  merchant_id     uuid NOT NULL REFERENCES merchants (id),
  endpoint_id     uuid NOT NULL REFERENCES endpoints (id),
  since           timestamptz(3) NOT NULL,
  until           timestamptz(3) NOT NULL,
  statuses        text[] NOT NULL,
  event_types     text[],
  rate_per_second integer,
  status          text NOT NULL,
  total           bigint NOT NULL,
  done            bigint NOT NULL DEFAULT 0,
  position        uuid,
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  completed_at    timestamptz(3)
);
CREATE INDEX recoveries_endpoint ON recoveries (endpoint_id, id);

-- Attempts in five-minute rollups, a row for each outcome and bucket of the latency histogram that occurred: settle adds
-- to a few rows a commit, and a month of an endpoint is read without touching its attempts.
CREATE TABLE delivery_stats (
  endpoint_id    uuid NOT NULL,
  period_start   timestamptz NOT NULL,
  outcome        text NOT NULL,
  latency_bucket smallint NOT NULL,
  merchant_id    uuid NOT NULL,
  attempts       bigint NOT NULL,
  PRIMARY KEY (endpoint_id, period_start, outcome, latency_bucket)
) WITH (fillfactor = 70);

CREATE TABLE audit_log (
  id           uuid PRIMARY KEY,
  sequence     bigint UNIQUE,
  merchant_id  uuid,
  actor        text NOT NULL,
  address      text,
  action       text NOT NULL,
  target       text,
  payload      jsonb,
  salt         bytea,
  payload_hash bytea NOT NULL,
  chain_mac    bytea,
  created_at   timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_merchant ON audit_log (merchant_id, id);

-- A known text sealed under each encryption key in use: a key that cannot open it does not fit this database.
CREATE TABLE encryption_canaries (
  key_id     text PRIMARY KEY,
  sealed     bytea NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

-- Log tables: UUIDv7 keys, a partition a day, no default partition, no foreign keys. Written by SQL only.

CREATE TABLE events (
  id              uuid PRIMARY KEY,
  merchant_id     uuid NOT NULL,
  type            text NOT NULL,
  -- The bytes as they came. bytea, because jsonb reorders keys and re-prints numbers. NULL once erased.
  data            bytea,
  created_at      timestamptz(3) NOT NULL,
  created_at_text text,
  ordering_key    text,
  producer_id     text,
  deliver_at      timestamptz(3),
  delivery_count  integer NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX events_merchant ON events (merchant_id, id);

CREATE TABLE deliveries (
  id               uuid PRIMARY KEY,
  event_id         uuid NOT NULL,
  endpoint_id      uuid NOT NULL,
  merchant_id      uuid NOT NULL,
  event_type       text NOT NULL,
  payload_format   text NOT NULL,
  status           text NOT NULL CHECK (status IN ('pending', 'retrying', 'succeeded', 'failed', 'cancelled')),
  sequence         bigint,
  attempt_count    integer NOT NULL DEFAULT 0,
  last_number      integer,
  last_outcome     text,
  last_status_code integer,
  last_error_code  text,
  last_duration_ms integer,
  error_code       text,
  completed_at     timestamptz(3),
  -- What a support engineer searches for is rare. These stay NULL through the common life of a delivery
  -- (pending, then succeeded with a 200), so that its one update touches no indexed value and stays HOT.
  rare_status      text GENERATED ALWAYS AS (CASE WHEN status IN ('failed', 'cancelled') THEN status END) STORED,
  rare_outcome     text GENERATED ALWAYS AS (CASE WHEN last_outcome <> 'succeeded' THEN last_outcome END) STORED,
  rare_status_code integer GENERATED ALWAYS AS (CASE WHEN last_status_code <> 200 THEN last_status_code END) STORED
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_merchant ON deliveries (merchant_id, id);
CREATE INDEX deliveries_type ON deliveries (event_type, id);
CREATE INDEX deliveries_merchant_type ON deliveries (merchant_id, event_type, id);
CREATE INDEX deliveries_endpoint_type ON deliveries (endpoint_id, event_type, id);
CREATE INDEX deliveries_status ON deliveries (rare_status, id) WHERE rare_status IS NOT NULL;
CREATE INDEX deliveries_merchant_status ON deliveries (merchant_id, rare_status, id) WHERE rare_status IS NOT NULL;
CREATE INDEX deliveries_endpoint_status ON deliveries (endpoint_id, rare_status, id) WHERE rare_status IS NOT NULL;
CREATE INDEX deliveries_outcome ON deliveries (rare_outcome, id) WHERE rare_outcome IS NOT NULL;
CREATE INDEX deliveries_merchant_outcome ON deliveries (merchant_id, rare_outcome, id) WHERE rare_outcome IS NOT NULL;
CREATE INDEX deliveries_endpoint_outcome ON deliveries (endpoint_id, rare_outcome, id) WHERE rare_outcome IS NOT NULL;
CREATE INDEX deliveries_status_code ON deliveries (rare_status_code, id) WHERE rare_status_code IS NOT NULL;
CREATE INDEX deliveries_merchant_status_code ON deliveries (merchant_id, rare_status_code, id) WHERE rare_status_code IS NOT NULL;
CREATE INDEX deliveries_endpoint_status_code ON deliveries (endpoint_id, rare_status_code, id) WHERE rare_status_code IS NOT NULL;

CREATE TABLE attempts (
  id                      uuid PRIMARY KEY,
  delivery_id             uuid NOT NULL,
  merchant_id             uuid NOT NULL,
  number                  integer NOT NULL,
  trigger                 text NOT NULL,
  started_at              timestamptz(3) NOT NULL,
  duration_ms             integer NOT NULL,
  outcome                 text NOT NULL,
  status_code             integer,
  error_code              text,
  error_message           text,
  request_url             text NOT NULL,
  -- JSON text, an array of [name, value]: order and repeats matter, and nothing ever queries inside.
  request_headers         text NOT NULL,
  response_headers        text,
  response_body           bytea,
  response_body_truncated boolean,
  remote_address          text
) PARTITION BY RANGE (id);
CREATE INDEX attempts_delivery ON attempts (delivery_id, id);

-- What changes while a delivery is not final. Small and hot: a row is inserted by accept and deleted by the final settle.
CREATE TABLE open_deliveries (
  delivery_id    uuid PRIMARY KEY,
  event_id       uuid NOT NULL,
  endpoint_id    uuid NOT NULL,
  merchant_id    uuid NOT NULL,
  due_at         timestamptz NOT NULL,
  hinted_until   timestamptz NOT NULL,
  hint_number    integer NOT NULL DEFAULT 1,
  lease_token    uuid,
  lease_until    timestamptz,
  attempt_id     uuid,
  -- Requests made, which numbers attempts; steps of the schedule charged; attempts whose end nobody saw.
  attempt_number integer NOT NULL DEFAULT 0,
  failures       integer NOT NULL DEFAULT 0,
  unknowns       integer NOT NULL DEFAULT 0,
  trigger        text NOT NULL DEFAULT 'initial',
  -- Set for the one attempt that a retry of a final delivery makes.
  single         boolean NOT NULL DEFAULT false,
  recovery_id    uuid,
  blocked        boolean NOT NULL DEFAULT false,
  sequence       bigint,
  ordering_key   text,
  -- Copies of what the delivery and its event say, so that a claim reads one log table and not two.
  payload_format text NOT NULL,
  data_bytes     integer NOT NULL
) WITH (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_threshold = -1,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.2,
  autovacuum_analyze_threshold = 5000
);
CREATE INDEX open_deliveries_due ON open_deliveries (endpoint_id, due_at);
CREATE INDEX open_deliveries_merchant ON open_deliveries (merchant_id, delivery_id);
-- What is leased is bounded by the workers' slots, so both a look at one endpoint and a walk over all of it are short.
CREATE INDEX open_deliveries_lease ON open_deliveries (endpoint_id, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX open_deliveries_suspect ON open_deliveries (due_at) WHERE unknowns >= 2;
CREATE INDEX open_deliveries_order ON open_deliveries (endpoint_id, ordering_key, sequence) WHERE sequence IS NOT NULL;
