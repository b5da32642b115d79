/**
 * A self-signed certificate for `localhost`, `receiver.test` and `127.0.0.1`, valid from 2020 to 2120, and its key.
 * The key protects nothing: it is published with the sources and no trust store holds the certificate.
 */
export const TEST_CERTIFICATE = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBjzCCATagAwIBAgIBATAKBggqhkjOPQQDAjAhMR8wHQYDVQQDDBZQb3N0aG9y
biB0ZXN0IHJlY2VpdmVyMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAw
WjAhMR8wHQYDVQQDDBZQb3N0aG9ybiB0ZXN0IHJlY2VpdmVyMFkwEwYHKoZIzj0C
AQYIKoZIzj0DAQcDQgAEzsp+v2/putBNLBSSPnTT9Hyp8NJseWbcYU8ht0XfNbHL
6faiCLxztX2SzFOpuSSvYVoRyVvDKoMKMP7BPaJcm6NdMFswKQYDVR0RBCIwIIIJ
bG9jYWxob3N0gg1yZWNlaXZlci50ZXN0hwR/AAABMA8GA1UdEwEB/wQFMAMBAf8w
HQYDVR0OBBYEFEGns81pATc8DVxbslsV8M9OZzMhMAoGCCqGSM49BAMCA0cAMEQC
IFq13gQbRN7WU8TL2iTNNZHaIdrlB1J1hAl0vVKDyy6HAiAYFMXYpKFTdMnebMjm
CBn5v3nXf6tI1oZCzmLPNrHbyw==
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvkIwsTuET8hfNq5c
4Q28XfucEapR7A/zCuXrTlqGAZChRANCAATOyn6/b+m60E0sFJI+dNP0fKnw0mx5
ZtxhTyG3Rd81scvp9qIIvHO1fZLMU6m5JK9hWhHJW8Mqgwow/sE9olyb
-----END PRIVATE KEY-----
`,
} as const;
