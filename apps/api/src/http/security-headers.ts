/**
 * What browsers are told with every answer, in the manner of helmet. Answers are for programs: a browser that is led to
 * one runs nothing, frames nothing, guesses no type, keeps no copy, and lets no other site read it. There is no CORS:
 * keys have no place in the pages of other sites.
 *
 * Written once and not by @fastify/helmet, which makes its policy anew for each request: 13 to 18 µs of CPU, a tenth of
 * what it takes to accept an event.
 */
export const ANSWER_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  // Of this host only, and passed over by browsers that have not come by TLS.
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const satisfies Readonly<Record<string, string>>;

/** Of a page of our own: it runs and shows files of this server and nothing that stands in the page itself. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
