-- How much of its request rate each merchant key has used, for installations without Redis. Worth nothing after a crash, so
-- unlogged: a commit that writes only here waits for no flush. No foreign key: it would lock the key's row with each request.
CREATE UNLOGGED TABLE request_buckets (
  api_key_id uuid PRIMARY KEY,
  -- Millionths of a request that have not come back yet at counted_at_us.
  debt          bigint NOT NULL,
  -- Microseconds since 1970 by this server's clock: a rate in requests a second is then one in millionths a microsecond.
  counted_at_us bigint NOT NULL,
  -- What the last statement let through: RETURNING tells nothing of the row before.
  granted       integer NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
