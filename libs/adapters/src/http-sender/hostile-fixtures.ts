/** For tests: what a merchant could try to put into a request's head. */

/** One connection's and not the message's (RFC 9110, 7.6.1), ours to write, or no token at all. In any case. */
export const REFUSED_HEADER_NAMES: readonly string[] = [
  ...['Host', 'host', 'HOST', 'Content-Length', 'content-length', 'Transfer-Encoding', 'TRANSFER-ENCODING'],
  ...['Connection', 'keep-alive', 'Proxy-Connection', 'Proxy-Authorization', 'Proxy-Authenticate'],
  ...['TE', 'Trailer', 'Upgrade', 'Expect'],
  ...[
    '',
    ' ',
    'a b',
    'a:',
    ':a',
    'a\r\nb',
    'a\nHost',
    'a\0',
    'a\t',
    ' a',
    'a ',
    '(a)',
    'a,b',
    'ä',
    'a\u{1F600}',
  ],
  ...['Host ', 'Host\0', 'Content-Length\t', 'Transfer-Encoding\r\n'],
];

/** More than one line, or not one byte a character. */
export const REFUSED_HEADER_VALUES: readonly string[] = [
  ...[
    'a\r\nHost: b',
    'a\nX-B: c',
    'a\rb',
    '\r\n\r\nPOST / HTTP/1.1',
    'a\0',
    '\0',
    'a\x0b',
    'a\x0c',
    'a\x7f',
    '\x1b[0m',
  ],
  ...['a\u2028b', 'a\u0085\u010a', 'ł', '\u560d\u560aHost: b', '\u{1F600}', '\ud800', 'a\x01', 'a\x1f'],
];
