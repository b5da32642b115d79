-- The catalogue of event types: what each one's data has to be, what of it is masked, and when it is tried again.

-- Schema and example as they came: jsonb would reorder keys and print numbers anew, and an example is sent to receivers.
ALTER TABLE event_types
  ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
  -- Of the catalogue when this type was last changed: names what a process has compiled.
  ADD COLUMN version bigint NOT NULL DEFAULT 0,
  ALTER COLUMN schema TYPE bytea USING convert_to(schema::text, 'UTF8'),
  ALTER COLUMN example TYPE bytea USING convert_to(example::text, 'UTF8');
ALTER TABLE event_types ALTER COLUMN id DROP DEFAULT, ALTER COLUMN version DROP DEFAULT;

-- One row. Raised by every change of a type. Accept re-reads it in its own transaction, as it does a merchant's
-- config_version, so that a type changed on one process holds for the next event on every other.
CREATE TABLE event_type_catalogue (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  version   bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO event_type_catalogue (version) VALUES (1);

-- Set once the stored bytes are masked: they must not be sent any more.
ALTER TABLE events ADD COLUMN redacted_at timestamptz(3);

-- An event whose stored bytes are still to be masked: a row is made by accept, only where the type has pointers, and goes
-- once they are. due_at is when to look whether its deliveries are done.
CREATE TABLE event_redactions (
  event_id uuid PRIMARY KEY,
  pointers text[] NOT NULL,
  due_at   timestamptz NOT NULL
) WITH (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX event_redactions_due ON event_redactions (due_at);
