-- The public half of a secret's Ed25519 pair, in clear because it is published; NULL: the secret has none. With it, what
-- is sealed begins with the private key's 32 bytes, and the secret's text follows.
ALTER TABLE endpoint_secrets ADD COLUMN public_key bytea CHECK (octet_length(public_key) = 32);
CREATE INDEX endpoint_secrets_public_key ON endpoint_secrets (id) WHERE public_key IS NOT NULL;
-- For the sweep that removes what has expired.
CREATE INDEX endpoint_secrets_expiry ON endpoint_secrets (expires_at) WHERE expires_at IS NOT NULL;
