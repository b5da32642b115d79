import type { PayloadFormat } from './payload-format.js';
import { DEFAULT_RETRY_SCHEDULE_SECONDS } from './retry-schedule.js';
import type { SignatureSpec } from './signature.js';

/** A wire format that receivers already know: what a body looks like, how it is signed, when it is tried again. */
export interface DialectParts {
  readonly payloadFormat: PayloadFormat;
  readonly signatures: readonly SignatureSpec[];
  readonly retryScheduleSeconds: readonly number[];
}

export const DIALECT_NAMES = [
  'posthorn',
  'fiatsend',
  'gateway',
  'event-data',
  'transaction-status',
  'fapshi',
] as const;
export type Dialect = (typeof DIALECT_NAMES)[number];

export const DEFAULT_DIALECT: Dialect = 'posthorn';

/** Header names are written out where receivers depend on them; `posthorn` follows the operator's prefix. */
export const DIALECTS: Readonly<Record<Dialect, DialectParts>> = {
  posthorn: {
    payloadFormat: 'envelope',
    signatures: [{ scheme: 'sha256-hex' }, { scheme: 'standard-webhooks' }],
    retryScheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
  },
  fiatsend: {
    payloadFormat: 'envelope',
    signatures: [{ scheme: 'sha256-hex', header: 'X-Fiatsend-Signature' }],
    retryScheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
  },
  gateway: {
    payloadFormat: 'event-object',
    signatures: [{ scheme: 'hex', header: 'X-Signature' }],
    retryScheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
  },
  'event-data': {
    payloadFormat: 'event-data',
    signatures: [{ scheme: 'hex', header: 'X-Signature' }],
    retryScheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
  },
  'transaction-status': {
    payloadFormat: 'flat',
    signatures: [],
    retryScheduleSeconds: DEFAULT_RETRY_SCHEDULE_SECONDS,
  },
  fapshi: { payloadFormat: 'raw', signatures: [], retryScheduleSeconds: [] },
};
