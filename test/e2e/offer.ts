import { refusalProblems, refusedPaths } from './error-shape.js';
import type { Wire, WireAnswer, WireCall } from './wire.js';

export type Body = Record<string, unknown>;

/** A place of a request that takes a text from the client. */
export interface Place {
  /** What a refusal calls it. */
  readonly path: (text: string) => string;
  readonly put: (body: Body, text: string) => void;
  /** Whether the contract admits the text there; null: it leaves it open. */
  readonly admits: (text: string) => boolean | null;
  /** Where the text must come back; left out: it is never shown. */
  readonly shown?: (view: Body, text: string) => unknown;
}

export interface Offered {
  /** The answer to the request that had only what was not refused before; null: it never came to that. */
  readonly accepted: { readonly answer: WireAnswer; readonly places: readonly Place[] } | null;
  readonly problems: readonly string[];
}

/** Rules that need several fields speak only after those of one field are content, and the address after them. */
const ROUNDS_MAX = 4;

/**
 * Puts one text into all places of a request at once, takes it out of those that are refused, and asks again until
 * the rest is accepted: each place is judged by itself, in two requests or a few more.
 *
 * @param call method and path; `body` holds what the request needs besides
 */
export async function offer(
  wire: Wire,
  call: WireCall & { readonly body: Body },
  places: readonly Place[],
  text: string,
): Promise<Offered> {
  const problems: string[] = [];
  let left = [...places];
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const body = structuredClone(call.body);
    for (const place of left) place.put(body, text);
    const answer = await wire.call({ ...call, body });
    if (answer.status < 300) {
      return {
        accepted: { answer, places: left },
        problems: [...problems, ...misjudged(places, left, text)],
      };
    }
    const paths = refusedPaths(answer);
    const refused = left.filter((place) => paths.includes(place.path(text)));
    const names = new Set(refused.map((place) => place.path(text)));
    problems.push(...refusalProblems(answer));
    const stray = paths.filter((path) => !names.has(path));
    if (stray.length > 0) problems.push(`these paths were refused: ${stray.join(', ').slice(0, 500)}`);
    if (refused.length === 0) {
      return { accepted: null, problems: [...problems, `refused for good: ${answer.text.slice(0, 500)}`] };
    }
    left = left.filter((place) => !refused.includes(place));
  }
  return { accepted: null, problems: [...problems, 'something else is refused each time'] };
}

/** The places that do not show the text as it was given. */
export function notShown(places: readonly Place[], view: Body, text: string): string[] {
  return places
    .filter((place) => place.shown !== undefined && place.shown(view, text) !== text)
    .map((place) => `${place.path('<text>')} came back as ${JSON.stringify(place.shown?.(view, text))}`);
}

function misjudged(places: readonly Place[], accepted: readonly Place[], text: string): string[] {
  return places
    .filter((place) => place.admits(text) === !accepted.includes(place))
    .map((place) => `${place.path('<text>')} was ${accepted.includes(place) ? 'accepted' : 'refused'}`);
}
