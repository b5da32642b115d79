import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { DIALECT_NAMES, DIALECTS, type Dialect } from '#domain/dialects.js';
import { buildPayload, payloadConflict } from '#domain/payload-format.js';
import { parseRawJson } from '#domain/raw-json.js';
import { signatureHeaders } from '#domain/signature.js';
import { parseRfc3339 } from '#domain/timestamps.js';

/** One event on its way through one dialect: what comes in, and the exact bytes and headers that must go out. */
interface Golden {
  readonly dialect: Dialect;
  readonly event: {
    readonly id: string;
    readonly type: string;
    readonly created_at: string | null;
    readonly created_at_unix_ms: number;
    readonly data: string;
  };
  readonly endpoint: { readonly dialect: Dialect; readonly secret: string; readonly header_prefix: string };
  readonly sent_at_unix_seconds: number;
  readonly expected: {
    readonly body: string;
    readonly body_sha256: string;
    readonly headers: readonly (readonly [name: string, value: string])[];
  };
}

function readGolden(name: string): Golden {
  return JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as Golden;
}

describe.each(DIALECT_NAMES)('%s', (name) => {
  const { event, endpoint, expected, sent_at_unix_seconds: unixSeconds } = readGolden(name);
  const { payloadFormat, signatures } = DIALECTS[endpoint.dialect];
  const data = Buffer.from(event.data);
  const body = buildPayload(payloadFormat, {
    publicId: event.id,
    type: event.type,
    createdAtMs: event.created_at_unix_ms,
    createdAtText: event.created_at,
    data,
  });

  test('body, byte for byte', () => {
    expect(body.toString()).toBe(expected.body);
    expect(createHash('sha256').update(body).digest('hex')).toBe(expected.body_sha256);
  });

  test('headers', () => {
    const headers = signatures.flatMap((spec) =>
      signatureHeaders(spec, {
        secrets: [endpoint.secret],
        eventId: event.id,
        unixSeconds,
        body,
        headerPrefix: endpoint.header_prefix,
      }),
    );
    expect(headers).toEqual(expected.headers);
  });

  test('is an event that the format can carry, and its times agree', () => {
    const document = parseRawJson(data);
    const keys = (): string[] => document.members(document.root).map(({ key }) => key);
    expect(document.root.kind).toBe('object');
    expect(payloadConflict(payloadFormat, event.type, keys)).toBe(false);
    if (event.created_at !== null) expect(parseRfc3339(event.created_at)).toBe(event.created_at_unix_ms);
  });
});
