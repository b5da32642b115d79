/** Bytes that two servers in a row may read differently: none of them may be read as a request that does something. */

export interface WireAbuse {
  readonly name: string;
  /** In Latin-1; `{name}` as in the other tables. */
  readonly bytes: string;
  readonly then?: 'wait' | 'end';
  readonly statuses: readonly number[];
}

const BODY = '{"name":"smuggled"}';
const CHUNKS = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
const NEXT = 'POST /v1/merchants HTTP/1.1\r\nHost: x\r\n';

function head(start: string, ...lines: readonly string[]): string {
  const own = ['Host: x', 'Authorization: Bearer {platformKey}', 'Content-Type: application/json'];
  return [start, ...own, ...lines, '', ''].join('\r\n');
}
const post = (...lines: readonly string[]): string => head('POST /v1/merchants HTTP/1.1', ...lines);

function refused(name: string, bytes: string, statuses: readonly number[] = [400]): WireAbuse {
  return { name, bytes, statuses };
}

const LENGTHS = [
  '+5',
  '-0',
  '5,5',
  '5, 6',
  '5 5',
  '0x5',
  '5.0',
  '1e1',
  '',
  ' ',
  'x',
  '18446744073709551616',
  '\t5x',
];
const CODINGS = [
  'chunked, identity',
  'identity',
  'identity, chunked, identity',
  'gzip',
  'xchunked',
  'chunkedx',
  '"chunked"',
  'chunked;q=1',
  'x, y',
  '\x0bchunked',
];
const CHUNK_SIZES = ['', '-1', '0x5', '5 5', '+5', 'FFFFFFFFFFFFFFFFF', '1g', '\x00', '5\n'];

export const WIRE_ABUSES: readonly WireAbuse[] = [
  ...LENGTHS.map((length) =>
    refused(
      `a length of ${JSON.stringify(length)}`,
      `${post(`Content-Length: ${length}`, 'Connection: close')}${BODY}`,
      [400, 422],
    ),
  ),
  ...CODINGS.map((coding) =>
    refused(
      `a transfer coding ${JSON.stringify(coding)}`,
      `${post(`Transfer-Encoding: ${coding}`)}${CHUNKS}`,
    ),
  ),
  ...CHUNK_SIZES.map((size) =>
    refused(
      `a chunk size ${JSON.stringify(size)}`,
      `${post('Transfer-Encoding: chunked')}${size}\r\n${BODY}\r\n0\r\n\r\n`,
    ),
  ),
  refused('chunks before a length', `${post('Transfer-Encoding: chunked', 'Content-Length: 4')}${CHUNKS}`),
  refused(
    'chunks before the same length',
    `${post('Transfer-Encoding: chunked', `Content-Length: ${CHUNKS.length}`)}${CHUNKS}`,
  ),
  refused('two codings', `${post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity')}${CHUNKS}`),
  refused(
    'a coding hidden by a blank',
    `${post('Transfer-Encoding : chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused(
    'a coding hidden by a tab',
    `${post('Transfer-Encoding\t: chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused(
    'a coding on a folded line',
    `${post('X: y', ' Transfer-Encoding: chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused(
    'a coding after a bare line feed',
    `${post('X: y\nTransfer-Encoding: chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused(
    'a coding after a bare return',
    `${post('X: y\rTransfer-Encoding: chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused('two lengths that agree', `${post('Content-Length: 19', 'Content-Length: 19')}${BODY}`),
  refused(
    'a request within the body of another',
    `${post('Content-Length: 0', 'Connection: close').replace('POST', 'BREW')}${NEXT}`,
  ),
  refused(
    'a coding in HTTP/1.0',
    `${head('POST /v1/merchants HTTP/1.0', 'Transfer-Encoding: chunked', 'Content-Length: 4')}${CHUNKS}`,
  ),
  refused('HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  refused('HTTP/1.2', head('GET /v1/merchants HTTP/1.2')),
  refused('HTTP/9.9', head('GET /v1/merchants HTTP/9.9')),
  refused('no version', 'GET /v1/merchants\r\n\r\n'),
  refused('a version in small letters', head('GET /v1/merchants http/1.1')),
  refused('a method in small letters', head('get /v1/merchants HTTP/1.1')),
  refused('blanks in the target', head('GET /v1/merchants /x HTTP/1.1')),
  refused('a tab for a blank', head('GET\t/v1/merchants\tHTTP/1.1')),
  refused('a NUL in the target', head('GET /v1/\0merchants HTTP/1.1')),
  refused('an empty header name', post(': x')),
  refused('a header name with a bracket', post('X(: y')),
  refused('a control character in a value', post('X: a\x01b')),
  refused('a delete character in a value', post('X: a\x7fb')),
  refused('a header without an end', post('X: y').slice(0, -6) + '\rZ'),
  refused(
    '101 headers',
    head('GET /v1/merchants HTTP/1.1', ...Array.from({ length: 101 }, (_, n) => `X-${n}: y`)),
    [431],
  ),
  refused(
    '2,500 headers',
    head('GET /v1/merchants HTTP/1.1', ...Array.from({ length: 2_500 }, () => 'X:')),
    [431],
  ),
  refused('one header of 17 KB', post(`Cookie: ${'x'.repeat(17_000)}`), [431]),
  refused('a name of 17 KB', post(`${'x'.repeat(17_000)}: y`), [431]),
  refused('TLS where there is none', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03'),
  refused('a proxy protocol line', `PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n${post('Content-Length: 0')}`),
  {
    ...refused(
      'chunk extensions without end',
      `${post('Transfer-Encoding: chunked')}1;${'x'.repeat(40_000)}\r\n`,
      [400, 413, 431],
    ),
    then: 'end',
  },
  {
    ...refused(
      'trailers without end',
      `${post('Transfer-Encoding: chunked')}0\r\n${'X: y\r\n'.repeat(4_000)}\r\n`,
      [400, 431],
    ),
    then: 'end',
  },
  { ...refused('a body cut short', `${post('Content-Length: 500')}${BODY}`), then: 'end' },
  refused(
    'a key in a trailer',
    `${post('Transfer-Encoding: chunked', 'Connection: close').replace(/Authorization.*\r\n/, '')}${CHUNKS.slice(0, -2)}Authorization: Bearer {platformKey}\r\n\r\n`,
    [401],
  ),
  refused(
    'another host by an absolute target',
    head('GET http://elsewhere.example/v1/nothing HTTP/1.1', 'Connection: close'),
    [404],
  ),
];
