/** More than any producer prints; keeps a created_at from being a payload of its own. */
export const TIMESTAMP_LENGTH_MAX = 64;

const DAY_MS = 86_400_000;
const LEAP_SECOND = 60;

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * Unix milliseconds of an RFC 3339 date-time; null for anything else. Strict: real dates only, `T` and a zone are
 * required (either case), at most 64 characters. Digits beyond milliseconds are dropped. A leap second, which is
 * 23:59:60 in UTC on the last day of a month, counts as the first instant of the day that follows, as in Unix time.
 */
export function parseRfc3339(text: string): number | null {
  const match = text.length <= TIMESTAMP_LENGTH_MAX ? RFC_3339.exec(text) : null;
  if (!match) return null;
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1, 7).map(Number);
  const localMs = unixMs(year, month, day, hours, minutes, seconds);
  const offsetHours = Number(match[9] ?? 0);
  const offsetMinutes = Number(match[10] ?? 0);
  if (localMs === null || offsetHours > 23 || offsetMinutes > 59) return null;

  const offsetMs = (match[8] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes) * 60_000;
  const secondMs = localMs - offsetMs;
  if (seconds === LEAP_SECOND) return isMonthStart(secondMs) ? secondMs : null;
  return secondMs + Number((match[7] ?? '').slice(0, 3).padEnd(3, '0'));
}

/** RFC 3339 in UTC with whole seconds, `2026-04-02T05:01:20Z`: the form of times in bodies. */
export function formatSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -5)}Z`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** IMF-fixdate, and the obsolete forms of RFC 850 and asctime. The day's name says nothing that the date does not. */
const HTTP_DATES = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-(?<month>\w{3})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

/**
 * Unix milliseconds of an HTTP date in any of its three forms (RFC 9110, 5.6.7); null for anything else. `nowMs`,
 * Unix milliseconds, tells which century a year of two digits lies in.
 */
export function parseHttpDate(text: string, nowMs: number): number | null {
  for (const form of HTTP_DATES) {
    const parts = form.exec(text)?.groups;
    if (!parts) continue;
    const month = MONTHS.indexOf(parts['month'] ?? '') + 1;
    const [hours = 0, minutes = 0, seconds = 0] = (parts['time'] ?? '').split(':').map(Number);
    return unixMs(fullYear(parts['year'] ?? '', nowMs), month, Number(parts['day']), hours, minutes, seconds);
  }
  return null;
}

/** A year of two digits that seems to be over 50 years ahead is the latest past one that ends in them. */
function fullYear(text: string, nowMs: number): number {
  if (text.length === 4) return Number(text);
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + Number(text);
  return year > thisYear + 50 ? year - 100 : year;
}

/** Null unless the date is real and the time within its day, a 60th second included. */
function unixMs(
  year: number,
  month: number,
  day: number,
  hours: number,
  minutes: number,
  seconds: number,
): number | null {
  if (hours > 23 || minutes > 59 || seconds > LEAP_SECOND) return null;
  const date = new Date(0);
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  return date.setUTCHours(hours, minutes, seconds);
}

function isMonthStart(ms: number): boolean {
  return ms % DAY_MS === 0 && new Date(ms).getUTCDate() === 1;
}
