/** Room for any path that people write, and few enough bytes to keep with every event. */
export const JSON_POINTER_LENGTH_MAX = 256;

/** RFC 6901, section 3, without the empty pointer, which names the whole document. */
const JSON_POINTER = /^(?:\/(?:[^~/\0]|~[01])*)+$/;
/** `~` begins an escape, of which there are two (RFC 6901, section 3). */
const BAD_ESCAPE = /~(?![01])/;

/** True for a JSON Pointer (RFC 6901) to something within a document. */
export function isInnerJsonPointer(text: string): boolean {
  return text.length <= JSON_POINTER_LENGTH_MAX && text.isWellFormed() && JSON_POINTER.test(text);
}

/** The reference tokens of a JSON Pointer (RFC 6901), unescaped; none for the whole document. Null: it is not one. */
export function parseJsonPointer(text: string): readonly string[] | null {
  if (text === '') return [];
  return text.startsWith('/') && !BAD_ESCAPE.test(text) ? jsonPointerTokens(text) : null;
}

/** The reference tokens of a JSON Pointer, unescaped (RFC 6901, section 4). */
export function jsonPointerTokens(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The pointer to a member or an element of what `pointer` names. */
export function jsonPointerTo(pointer: string, token: string | number): string {
  return `${pointer}/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
