import { expect, test } from '@jest/globals';

import { DEFAULT_DIALECT, DIALECT_NAMES, DIALECTS } from './dialects.js';
import { signatureHeaderNames } from './signature.js';

test('the table', () => {
  const rows = DIALECT_NAMES.map((name) => {
    const { payloadFormat, signatures, retryScheduleSeconds } = DIALECTS[name];
    const signed = signatures.map(
      (spec) => `${spec.scheme} in ${signatureHeaderNames(spec, 'X-Acme').join(' ')}`,
    );
    return [
      name,
      payloadFormat,
      signed.join(', ') || 'unsigned',
      retryScheduleSeconds.join(' ') || 'once',
    ].join(' | ');
  });
  expect(rows).toEqual([
    'posthorn | envelope | sha256-hex in X-Acme-Signature, standard-webhooks in webhook-id webhook-timestamp webhook-signature | 1 4 16',
    'fiatsend | envelope | sha256-hex in X-Fiatsend-Signature | 1 4 16',
    'gateway | event-object | hex in X-Signature | 1 4 16',
    'event-data | event-data | hex in X-Signature | 1 4 16',
    'transaction-status | flat | unsigned | 1 4 16',
    'fapshi | raw | unsigned | once',
  ]);
});

test('the default is posthorn', () => {
  expect(DEFAULT_DIALECT).toBe('posthorn');
});
