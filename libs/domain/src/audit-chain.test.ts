import { expect, test } from '@jest/globals';
import { AUDIT_CHAIN_START, auditChainMac, auditPayloadHash, type ChainedEntry } from './audit-chain.js';

const entry: ChainedEntry = {
  sequence: 7n,
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  merchantId: '01890a5d-ac96-774b-bcce-b302099a8058',
  actor: 'environment',
  keyId: '01890a5d-ac96-774b-bcce-b302099a8059',
  action: 'webhook.created',
  target: 'wh_01h455vb4pex5vsknk084sn02q',
  createdAt: new Date('2026-11-22T16:00:00.123Z'),
  payloadHash: auditPayloadHash(
    Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
    '{"address":"192.0.2.7"}',
  ),
};
const key = new Uint8Array(32).fill(7);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

// From Python's hashlib and hmac, over the same bytes.
test('an entry of known bytes', () => {
  expect(hex(entry.payloadHash)).toBe('6cce3b7a7e753e0fdc8ecd6f39e656516343264af34b6731670ee6cbfc4c839c');
  expect(hex(auditChainMac(key, AUDIT_CHAIN_START, entry))).toBe(
    'f3b30ca19bdad0b379e2cf07f46a6a9ea69876d7ac98388910d6b50115543fcf',
  );
});

test('no field can be changed, nor what stands before', () => {
  const mac = hex(auditChainMac(key, AUDIT_CHAIN_START, entry));
  const changes: Partial<ChainedEntry>[] = [
    { sequence: 8n },
    { id: '01890a5d-ac96-774b-bcce-b302099a8050' },
    { merchantId: null },
    { actor: 'system' },
    { keyId: null },
    { action: 'webhook.deleted' },
    { target: null },
    { createdAt: new Date('2026-11-22T16:00:00.124Z') },
    { createdAt: new Date(Number.NaN) },
    { payloadHash: new Uint8Array(32) },
  ];
  const macs = [
    ...changes.map((change) => hex(auditChainMac(key, AUDIT_CHAIN_START, { ...entry, ...change }))),
    hex(auditChainMac(key, new Uint8Array(32).fill(1), entry)),
    hex(auditChainMac(new Uint8Array(32), AUDIT_CHAIN_START, entry)),
  ];
  expect(new Set([mac, ...macs]).size).toBe(macs.length + 1);
});
