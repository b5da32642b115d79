/** `~` begins an escape, of which there are two (RFC 6901, section 3). */
const BAD_ESCAPE = /~(?![01])/;

/** The reference tokens of a JSON Pointer (RFC 6901), unescaped; none for the whole document. Null: it is not one. */
export function parseJsonPointer(text: string): readonly string[] | null {
  if (text === '') return [];
  if (!text.startsWith('/') || BAD_ESCAPE.test(text)) return null;
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}
