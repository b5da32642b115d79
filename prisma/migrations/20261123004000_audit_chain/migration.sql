-- The audit log becomes append-only and gets what its chain is made with.

-- The address is personal data, and so stands in the payload, where an erasure takes it away.
ALTER TABLE audit_log DROP COLUMN address;
ALTER TABLE audit_log ADD COLUMN key_id uuid;
-- Hashed as it stands. jsonb prints itself anew, and not in the same way for ever.
ALTER TABLE audit_log ALTER COLUMN payload TYPE text USING payload::text;
ALTER TABLE audit_log ADD CONSTRAINT audit_log_sealed_whole CHECK ((sequence IS NULL) = (chain_mac IS NULL));
ALTER TABLE audit_log ADD CONSTRAINT audit_log_payload_salted CHECK ((payload IS NULL) = (salt IS NULL));

CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_key ON audit_log (key_id, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
-- What the sealer looks for every second, and what an erasure has still to do.
CREATE INDEX audit_log_unsealed ON audit_log (id) WHERE sequence IS NULL;
CREATE INDEX audit_log_unerased ON audit_log (merchant_id, id) WHERE payload IS NOT NULL;

-- The one key that chains the log: random, made by the first sealer, sealed under the encryption keys.
CREATE TABLE audit_chain_key (
  id         smallint PRIMARY KEY CHECK (id = 1),
  sealed     bytea NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

-- Whether the key has been the first one: then rows may need it, and no process may be without it.
ALTER TABLE encryption_canaries ADD COLUMN has_sealed boolean NOT NULL DEFAULT true;

-- A row is written once. After that it is sealed, once, and its payload and salt may be erased; nothing else.
CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  expected audit_log%ROWTYPE;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.sequence IS NULL AND NEW.payload IS NOT NULL THEN RETURN NEW; END IF;
  ELSIF TG_OP = 'UPDATE' THEN
    expected := OLD;
    IF OLD.sequence IS NULL AND NEW.sequence IS NOT NULL THEN
      expected.sequence := NEW.sequence;
      expected.chain_mac := NEW.chain_mac;
    ELSIF OLD.merchant_id IS NOT NULL AND OLD.payload IS NOT NULL AND NEW.payload IS NULL THEN
      expected.payload := NULL;
      expected.salt := NULL;
    END IF;
    IF NEW IS DISTINCT FROM OLD AND NEW IS NOT DISTINCT FROM expected THEN RETURN NEW; END IF;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER audit_log_append_only BEFORE INSERT OR UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_not_truncated BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
