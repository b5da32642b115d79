-- Recoveries: what is left out, and the token bucket of their rate. The workers look for those that are running only.
ALTER TABLE recoveries
  ADD COLUMN skipped     bigint NOT NULL DEFAULT 0,
  -- When a batch was last taken, and so also when the bucket was last filled.
  ADD COLUMN batch_at    timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN rate_tokens double precision NOT NULL DEFAULT 0,
  ADD CONSTRAINT recoveries_status CHECK (status IN ('running', 'completed', 'cancelled'));
CREATE INDEX recoveries_running ON recoveries (batch_at) WHERE status = 'running';

-- For how long every attempt has failed, and what was told of it. Attempts of operational events do not count.
ALTER TABLE endpoint_gates
  -- The first failure since the last success, the latest one, and how many.
  ADD COLUMN failing_since    timestamptz,
  ADD COLUMN failing_until    timestamptz,
  ADD COLUMN failing_attempts integer NOT NULL DEFAULT 0,
  ADD COLUMN failing_told_at  timestamptz,
  -- The latest webhook.failing still waits for its webhook.recovered.
  ADD COLUMN is_failing_told  boolean NOT NULL DEFAULT false;
-- Written when an endpoint begins or ceases to fail, so that the common update of a gate stays HOT.
CREATE INDEX endpoint_gates_failing ON endpoint_gates (failing_since) WHERE failing_since IS NOT NULL;

-- What is to be told as an operational event: written in the transaction of what it tells, deleted once the event is
-- accepted.
CREATE TABLE notices (
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Names the event, so that one that is accepted twice is one.
  id          uuid NOT NULL DEFAULT gen_random_uuid(),
  type        text NOT NULL CHECK (type IN ('webhook.failing', 'webhook.recovered', 'webhook.disabled', 'delivery.exhausted')),
  merchant_id uuid NOT NULL,
  endpoint_id uuid NOT NULL,
  delivery_id uuid,
  -- What nobody could read later from the endpoint or the delivery.
  facts       jsonb NOT NULL DEFAULT '{}',
  created_at  timestamptz(3) NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX notices_of_endpoints ON notices (position) WHERE delivery_id IS NULL;
CREATE INDEX notices_of_deliveries ON notices (merchant_id, position) WHERE delivery_id IS NOT NULL;

-- Whose turn it is to announce, so that the rate holds whatever the number of workers.
CREATE TABLE notice_turns (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  next_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO notice_turns DEFAULT VALUES;

-- The operator, as the owner of endpoints that hear of every merchant's. No id of it is ever given out or taken.
INSERT INTO merchants (id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'operator');
