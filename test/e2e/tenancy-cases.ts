import {
  type Document,
  type Operation,
  requestOf,
  SHARED_THINGS,
  type ThingName,
} from './documented-operations.js';
import type { Tenant } from './tenants.js';
import type { WireCall } from './wire.js';

/** Who asks, and for whose things. */
export interface Cast {
  readonly mine: Tenant;
  readonly other: Tenant;
  readonly platformKey: string;
  /** Dead ones. */
  readonly revoked: { readonly merchant: string; readonly platform: string };
  /** Keys that have every scope of their kind but one. */
  readonly without: {
    readonly merchant: Readonly<Record<string, string>>;
    readonly platform: Readonly<Record<string, string>>;
  };
  readonly url: string;
}

export interface Case {
  readonly operation: string;
  readonly group: string;
  readonly call: WireCall & { readonly key: string | null };
  /** Any of these; 200 only as a page without rows. */
  readonly statuses: readonly number[];
}

const PREFIXES: Readonly<Record<ThingName, string>> = {
  merchant: 'mrc',
  merchantKey: 'key',
  platformKey: 'key',
  webhook: 'wh',
  delivery: 'dlv',
  event: 'evt',
  recovery: 'rec',
  // A name and no id, and never anybody's own.
  eventType: '',
};
const unknownId = (thing: ThingName): string => `${PREFIXES[thing]}_00000000000000000000000000`;

/** Every way in which an operation can be asked for what is not the caller's. */
export function casesOf(document: Document, operation: Operation, cast: Cast): Case[] {
  const { isForMerchants } = operation;
  const own = isForMerchants ? cast.mine.key : cast.platformKey;
  const make = new CaseMaker(document, operation, cast);
  return [
    ...keyCases(make, operation, cast),
    ...pathCases(make, operation, cast, own),
    ...queryCases(make, operation, cast),
    ...bodyCases(make, operation, cast, own),
  ];
}

interface Changes {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: Readonly<Record<string, string>>;
}

class CaseMaker {
  constructor(
    private readonly document: Document,
    private readonly operation: Operation,
    private readonly cast: Cast,
  ) {}

  /** The operation on my things, but for the changes. */
  case(group: string, key: string | null, statuses: readonly number[], changes: Changes = {}): Case {
    const filling = { things: this.cast.mine.things, url: this.cast.url, ...changes };
    const call = { ...requestOf(this.document, this.operation, filling), key };
    return { operation: this.operation.name, group, call, statuses };
  }
}

function keyCases(make: CaseMaker, { scopes, isForMerchants }: Operation, cast: Cast): Case[] {
  const kind = isForMerchants ? 'merchant' : 'platform';
  return [
    make.case('no key', null, [401]),
    make.case('a revoked key', cast.revoked[kind], [401]),
    ...scopes.map((scope) => make.case('a key without the scope', cast.without[kind][scope] ?? '', [403])),
    ...scopes.map((scope) => make.case('a key without the scope', cast.without.platform[scope] ?? '', [403])),
    ...(isForMerchants ? [] : [make.case("a merchant's key on the platform's call", cast.mine.key, [403])]),
  ];
}

function pathCases(make: CaseMaker, operation: Operation, cast: Cast, own: string): Case[] {
  const { isForMerchants } = operation;
  const { mine, other } = cast;
  const inPath = operation.inPath.filter(({ thing }) => !SHARED_THINGS.has(thing));
  const cases = inPath.flatMap(({ name, thing }) =>
    ['x', mine.things[thing].toUpperCase(), `${mine.things[thing]}0`, `${mine.things[thing]}%00`, 'req_0']
      .map((id) => make.case('a malformed id in the path', own, [404], { path: { [name]: id } }))
      .concat(make.case('an unknown id in the path', own, [404], { path: { [name]: unknownId(thing) } })),
  );
  const owned = inPath.filter(({ thing }) => thing !== 'platformKey');
  if (owned.length === 0) return cases;
  const theirs = Object.fromEntries(owned.map(({ name, thing }) => [name, other.things[thing]]));
  // One at a time where there are several; the first of one alone names the whole.
  const mixed = owned.slice(1).map(({ name, thing }) => ({ [name]: other.things[thing] }));
  const keys = isForMerchants ? [mine.key] : [];
  return [
    ...cases,
    ...keys.map((key) => make.case("another merchant's id in the path", key, [404], { path: theirs })),
    ...[own, cast.platformKey].flatMap((key) =>
      mixed.map((path) => make.case("another merchant's id in the path", key, [404], { path })),
    ),
    make.case("another merchant's id in the path", cast.platformKey, [404], {
      path: theirs,
      query: `merchant_id=${mine.things.merchant}`,
    }),
  ];
}

function queryCases(make: CaseMaker, { inQuery, isForMerchants }: Operation, cast: Cast): Case[] {
  if (!isForMerchants) return [];
  const { mine, other } = cast;
  const [me, them] = [mine.things.merchant, other.things.merchant];
  const merchants = [
    `merchant_id=${them}`,
    `merchant_id=${me}&merchant_id=${them}`,
    `merchant_id=${them}&merchant_id=${me}`,
    'merchant_id=',
    'merchant_id=x',
    `merchant_id=${me.toUpperCase()}`,
    `merchant_id=${unknownId('merchant')}`,
    `merchant%5Fid=${them}`,
  ].map((query) => make.case("another merchant's id in the query", mine.key, [404], { query }));
  const others = inQuery
    .filter(({ name }) => name !== 'merchant_id')
    .flatMap(({ name, thing }) => [
      make.case("another merchant's id in the query", mine.key, [404, 200], {
        query: `${name}=${other.things[thing]}`,
      }),
      make.case("another merchant's id in the query", cast.platformKey, [404, 200], {
        query: `merchant_id=${me}&${name}=${other.things[thing]}`,
      }),
      make.case('a malformed id in the query', mine.key, [404, 422], { query: `${name}=%20` }),
    ]);
  return [...merchants, ...others];
}

function bodyCases(make: CaseMaker, { inBody, isForMerchants }: Operation, cast: Cast, own: string): Case[] {
  const { mine, other } = cast;
  return inBody.flatMap(({ name, thing }) => {
    const ids = [unknownId(thing), 'x', mine.things[thing].toUpperCase(), mine.things.webhook];
    const key = isForMerchants ? mine.key : own;
    return [
      ...ids.map((id) => make.case('a wrong id in the body', key, [404], { body: { [name]: id } })),
      // A platform key may act for either of them.
      ...(isForMerchants
        ? [
            make.case("another merchant's id in the body", key, [404], {
              body: { [name]: other.things[thing] },
            }),
          ]
        : []),
    ];
  });
}
