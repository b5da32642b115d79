-- Merchants whose data is being removed: the job's row, which goes with the merchant's own.
CREATE TABLE merchant_erasures (
  merchant_id   uuid PRIMARY KEY REFERENCES merchants (id),
  requested_at  timestamptz NOT NULL DEFAULT now(),
  -- The transaction that took the merchant out of service. Whoever's snapshot is older may still write for it.
  begun_by      bigint NOT NULL,
  -- Set once no such snapshot is left: transactions below this one may still have to commit.
  settled_below bigint,
  rows_removed  bigint NOT NULL DEFAULT 0
);

INSERT INTO merchant_erasures (merchant_id, begun_by)
SELECT id, pg_current_xact_id()::text::bigint FROM merchants WHERE status = 'erasing';

-- How far each merchant's payload retention has come, in the order of the events' ids.
CREATE TABLE payload_sweeps (
  merchant_id uuid PRIMARY KEY REFERENCES merchants (id),
  swept_to    uuid NOT NULL
);

-- Events that the sweep has passed while one of their deliveries was not final: looked at again until it is.
CREATE TABLE held_payloads (
  event_id    uuid PRIMARY KEY,
  merchant_id uuid NOT NULL REFERENCES merchants (id)
);
CREATE INDEX held_payloads_merchant ON held_payloads (merchant_id, event_id);

-- Deleted endpoints too: their logs and statistics are the merchant's, and are erased with it.
CREATE INDEX endpoints_merchant_any ON endpoints (merchant_id);

-- Statistics of periods that are over, a row each, the older the wider: {"succeeded": [[bucket, attempts], …], …}. A month of
-- an endpoint is some hundred of these, where delivery_stats has a row for each outcome and bucket of each five minutes.
CREATE TABLE delivery_stats_packed (
  endpoint_id  uuid NOT NULL,
  period_start timestamptz NOT NULL,
  merchant_id  uuid NOT NULL,
  counts       jsonb NOT NULL,
  PRIMARY KEY (endpoint_id, period_start)
);
