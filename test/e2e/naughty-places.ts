import type { Body, Place } from './offer.js';

/** Every place of the API's bodies that takes a text, and what the contract admits there. */

const TYPE = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const PRODUCER_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Also line and paragraph separators. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const BLANK_OR_CONTROL = /[\0-\x20\x7f]/;
/** Of the names in the test, those that the sender itself writes. */
const SENDERS_OWN = ['host'];
/** Stands for a value that is kept, so it cannot be a new one. */
const HIDDEN_VALUE = '***';
/** A TypeID of ours. */
const OWN_ID = /^(mrc|wh|evt|dlv|att|key|rec|req)_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const DIALECTS = ['posthorn', 'fiatsend', 'gateway', 'event-data', 'transaction-status', 'fapshi'];
const FORMATS = ['envelope', 'event-data', 'event-object', 'flat', 'raw'];
const URL_LENGTH_MAX = 2_048;

/** Stands beside the text where a list needs another member. */
const ANY_TYPE = '*';
export const NAUGHTY_HEADER = 'X-Naughty';

type Predicate = (text: string) => boolean | null;

/** Lengths count code points; NUL and lone surrogates have no place in a text. */
function text(lengthMin: number, lengthMax: number): Predicate {
  return (value) => {
    const length = Array.from(value).length;
    return length >= lengthMin && length <= lengthMax && !value.includes('\0') && value.isWellFormed();
  };
}
const oneOf =
  (...values: readonly string[]): Predicate =>
  (value) =>
    values.includes(value);
const never: Predicate = () => false;
const isType: Predicate = (value) => value.length <= 128 && TYPE.test(value);
const isProducerId: Predicate = (value) => PRODUCER_ID.test(value) && !OWN_ID.test(value);
const isHeaderName: Predicate = (value) => TOKEN.test(value) && !SENDERS_OWN.includes(value);
const isPattern: Predicate = (value) => value === ANY_TYPE || isType(value.replace(/\.\*$/, '')) === true;
const isPointer: Predicate = (value) => text(1, 256)(value) === true && /^(\/([^~/]|~[01])*)+$/.test(value);
/** Data can hold any string at all, and so can what it is compared with. */
const isScalar: Predicate = (value) => Array.from(value).length <= 256;
const isSecret: Predicate = (value) => text(16, 256)(value) === true && !CONTROL.test(value);

function member(name: string, admits: Predicate, isShown = true): Place {
  return {
    path: () => name,
    put: (body, value) => void (body[name] = value),
    admits,
    ...(isShown && { shown: (view) => view[name] }),
  };
}

/** An object without a prototype: `__proto__` is a name like any other in it. */
function objectAt(body: Body, name: string): Body {
  const made = Object.assign(Object.create(null) as Body, body[name]);
  body[name] = made;
  return made;
}

/** Two conditions, so that each of two texts has one of its own. */
function filterOf(body: Body): unknown[] {
  body['filter'] ??= [1, 2].map(() => ({ pointer: '/a', in: [null] }));
  return body['filter'] as unknown[];
}

const METADATA: readonly Place[] = [
  {
    path: (value) => `metadata.${value}`,
    put: (body, value) => void (objectAt(body, 'metadata')[value] = 'given'),
    admits: (value) => value !== '__proto__' && text(1, 40)(value),
    shown: ({ metadata }, value) =>
      Object.entries(metadata as Body).find(([name, given]) => name === value && given === 'given')?.[0],
  },
  {
    path: () => 'metadata.of the test',
    put: (body, value) => void (objectAt(body, 'metadata')['of the test'] = value),
    admits: text(0, 500),
    shown: ({ metadata }) => (metadata as Body)['of the test'],
  },
];

export const MERCHANT_PLACES: readonly Place[] = [
  member('name', text(1, 200)),
  member('external_id', text(1, 255)),
  member('dialect', oneOf(...DIALECTS)),
  ...METADATA,
];

export const KEY_PLACES: readonly Place[] = [
  member('name', text(1, 200)),
  member('expires_at', never),
  {
    path: () => 'scopes.0',
    put: (body, value) => void (body['scopes'] = [value]),
    admits: never,
  },
];

export const EVENT_PLACES: readonly Place[] = [
  member('type', isType),
  member('id', isProducerId),
  member('created_at', never),
  member('ordering_key', text(1, 128), false),
  member('deliver_at', never),
];

const ENDPOINT_PLACES: readonly Place[] = [
  {
    path: () => 'events.0',
    put: (body, value) => void (body['events'] = [value, ANY_TYPE]),
    admits: isPattern,
    shown: ({ events }) => (events as string[])[0],
  },
  member('description', text(0, 500)),
  member('dialect', oneOf(...DIALECTS)),
  member('payload_format', oneOf(...FORMATS)),
  member('retry_preset', oneOf('standard', 'extended'), false),
  ...METADATA,
];

/** @param base where the receiver of the endpoint listens: the text is the rest of the path */
export function urlPlace(base: string): Place {
  return {
    path: () => 'url',
    put: (body, value) => void (body['url'] = base + value),
    admits: (value) =>
      value.isWellFormed() &&
      !BLANK_OR_CONTROL.test(value) &&
      base.length + value.length <= URL_LENGTH_MAX &&
      URL.canParse(base + value),
    shown: ({ url }) => (typeof url === 'string' && url.startsWith(base) ? url.slice(base.length) : url),
  };
}

export const NEW_WEBHOOK_PLACES: readonly Place[] = [
  ...ENDPOINT_PLACES,
  // Shown by the answer to the POST only.
  member('secret', isSecret, false),
  {
    path: (value) => `headers.${value}`,
    put: (body, value) => void (objectAt(body, 'headers')[value] = 'given'),
    admits: isHeaderName,
    shown: ({ headers }, value) => Object.keys(headers as Body).find((name) => name === value),
  },
  {
    path: (value) => (value === HIDDEN_VALUE ? 'headers' : `headers.${NAUGHTY_HEADER}`),
    put: (body, value) => void (objectAt(body, 'headers')[NAUGHTY_HEADER] = value),
    admits: (value) => FIELD_VALUE.test(value) && value !== HIDDEN_VALUE,
  },
];

export const WEBHOOK_CHANGE_PLACES: readonly Place[] = [
  ...ENDPOINT_PLACES,
  member('status', oneOf('enabled', 'disabled')),
  {
    path: () => 'filter.0.pointer',
    put: (body, value) => void (filterOf(body)[0] = { pointer: value, equals: 1 }),
    admits: isPointer,
    shown: ({ filter }) => (filter as [{ pointer: string }])[0].pointer,
  },
  {
    path: () => 'filter.1.in.1',
    put: (body, value) => void (filterOf(body)[1] = { pointer: '/a', in: [null, value] }),
    admits: isScalar,
    shown: ({ filter }) => (filter as [unknown, { in: unknown[] }])[1].in[1],
  },
  {
    path: (value) => `required_response.${value}`,
    put: (body, value) => void (objectAt(body, 'required_response')[value] = true),
    admits: text(0, 128),
    shown: ({ required_response: required }, value) =>
      Object.entries(required as Body).find(([name, given]) => name === value && given === true)?.[0],
  },
  {
    path: () => 'signatures.0.header',
    put: (body, value) => void (body['signatures'] = [{ scheme: 'hex', header: value }]),
    admits: isHeaderName,
    shown: ({ signatures }) => (signatures as [{ header?: string }])[0].header,
  },
];

/** Query filters of the delivery lists; ids and cursors, which are refused in other ways, stand apart. */
export const FILTERS: Readonly<Record<string, Predicate>> = {
  // Whether zeros may stand in front is left open.
  limit: (value) => (/^0+[1-9]\d*$/.test(value) ? null : /^([1-9]\d?|1\d\d|200)$/.test(value)),
  status: oneOf('pending', 'retrying', 'held', 'succeeded', 'failed', 'cancelled'),
  outcome: never,
  status_code: (value) => /^[1-9]\d\d$/.test(value),
  event_type: isType,
  event_id: (value) => PRODUCER_ID.test(value),
  created_after: never,
  created_before: never,
};
