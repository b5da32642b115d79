import type { Method } from './wire.js';

/**
 * The operations of an OpenAPI document as requests that can be made: whose ids stand where, and a body that fits. What
 * it does not know how to fill it names, so that a new route is either covered or in the way.
 */

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly examples?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
}

interface DocumentedOperation {
  readonly parameters?: readonly Parameter[];
  readonly security?: readonly { readonly bearer?: readonly string[] }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> };
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

export type ThingName =
  'merchant' | 'merchantKey' | 'platformKey' | 'webhook' | 'delivery' | 'event' | 'recovery' | 'eventType';
/** An id of each, all of one merchant but for the platform's key and its event type. */
export type Things = Readonly<Record<ThingName, string>>;

/** What the parameter after a collection's name is an id of. */
const IN_COLLECTION: Readonly<Record<string, ThingName>> = {
  merchants: 'merchant',
  webhooks: 'webhook',
  deliveries: 'delivery',
  events: 'event',
  recoveries: 'recovery',
  'event-types': 'eventType',
};
/** The platform's, and every merchant may read them. */
export const SHARED_THINGS: ReadonlySet<ThingName> = new Set<ThingName>(['eventType']);
const IN_QUERY: Readonly<Record<string, ThingName>> = {
  merchant_id: 'merchant',
  webhook_id: 'webhook',
  event_id: 'event',
  key_id: 'merchantKey',
};
const IN_BODY: Readonly<Record<string, ThingName>> = { merchant_id: 'merchant' };
/** Names for things that clients make up: they are nobody's. */
const MADE_UP = ['external_id'];
const MERCHANT_SCOPES = [
  'webhooks:read',
  'webhooks:write',
  'deliveries:read',
  'deliveries:retry',
  'secrets:read',
];

export interface IdPlace {
  readonly name: string;
  readonly thing: ThingName;
}

export interface Operation {
  /** Such as `GET /v1/webhooks/{id}`. */
  readonly name: string;
  readonly method: Method;
  readonly path: string;
  readonly scopes: readonly string[];
  readonly isPublic: boolean;
  /** Whether a merchant's key can have the scopes. */
  readonly isForMerchants: boolean;
  readonly isList: boolean;
  /** A list of things that are the platform's. */
  readonly isSharedList: boolean;
  readonly inPath: readonly IdPlace[];
  readonly inQuery: readonly IdPlace[];
  /** `merchant_id`, wherever it stands in the body. */
  readonly inBody: readonly IdPlace[];
  readonly body: Schema | null;
  /** What keeps it from being filled; empty: nothing. */
  readonly unknown: readonly string[];
}

export function readOperations(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => readOperation(document, path, method, operation)),
  );
}

function readOperation(
  document: Document,
  path: string,
  method: string,
  operation: DocumentedOperation,
): Operation {
  const unknown: string[] = [];
  const scopes = (operation.security ?? []).flatMap(({ bearer = [] }) => bearer);
  const isPublic = operation.security === undefined;
  if (!isPublic && scopes.length === 0) unknown.push('it names no scope');
  const queryNames = (operation.parameters ?? [])
    .filter((parameter) => parameter.in === 'query')
    .map(({ name }) => name);
  const body = operation.requestBody?.content['application/json']?.schema ?? null;
  if (operation.requestBody !== undefined && body === null) unknown.push('its body is no JSON');
  return {
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase() as Method,
    path,
    scopes,
    isPublic,
    isForMerchants: !isPublic && scopes.every((scope) => MERCHANT_SCOPES.includes(scope)),
    isList: queryNames.includes('cursor'),
    isSharedList: isShared(IN_COLLECTION[path.split('/').at(-1) ?? '']),
    inPath: pathPlaces(path, unknown),
    inQuery: places(queryNames, IN_QUERY, 'the query', unknown),
    inBody: body === null ? [] : places(propertyNames(document, body), IN_BODY, 'the body', unknown),
    body,
    unknown,
  };
}

function isShared(thing: ThingName | undefined): boolean {
  return thing !== undefined && SHARED_THINGS.has(thing);
}

function pathPlaces(path: string, unknown: string[]): IdPlace[] {
  const segments = path.split('/');
  return segments.flatMap((segment, index) => {
    const name = /^\{(\w+)\}$/.exec(segment)?.[1];
    if (name === undefined) return [];
    const collection = segments[index - 1] ?? '';
    const keyOf = segments.includes('merchants') ? 'merchantKey' : 'platformKey';
    const thing = collection === 'api-keys' ? keyOf : IN_COLLECTION[collection];
    if (thing !== undefined) return [{ name, thing }];
    unknown.push(`nobody knows what {${name}} of its path is an id of`);
    return [];
  });
}

function places(
  names: readonly string[],
  known: Readonly<Record<string, ThingName>>,
  where: string,
  unknown: string[],
): IdPlace[] {
  return names
    .filter((name) => /(?:^|_)ids?$/.test(name) && !MADE_UP.includes(name))
    .flatMap((name) => {
      const thing = known[name];
      if (thing !== undefined) return [{ name, thing }];
      // An event's own id is its producer's.
      if (name !== 'id') unknown.push(`nobody knows what ${name} in ${where} is an id of`);
      return [];
    });
}

/** Of the schema and all that lies within it, each once. */
function propertyNames(document: Document, schema: Schema): string[] {
  const { properties = {}, items, anyOf = [] } = resolve(document, schema);
  const inner = [...Object.values(properties), ...(items === undefined ? [] : [items]), ...anyOf];
  return [
    ...new Set([...Object.keys(properties), ...inner.flatMap((each) => propertyNames(document, each))]),
  ];
}

function resolve(document: Document, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const target = document.components?.schemas?.[schema.$ref.replace('#/components/schemas/', '')];
  if (target === undefined) throw new Error(`${schema.$ref} leads nowhere`);
  return target;
}

export interface Filling {
  readonly things: Things;
  /** In place of the things' own ids, by the parameter's name. */
  readonly path?: Readonly<Record<string, string>>;
  /** As it stands behind the question mark. */
  readonly query?: string;
  readonly body?: Readonly<Record<string, string>>;
  /** Where a body asks for a URL. */
  readonly url: string;
}

/** The request that an operation takes: what has to be there and nothing besides. */
export function requestOf(
  document: Document,
  operation: Operation,
  filling: Filling,
): { readonly method: Method; readonly path: string; readonly body?: unknown } {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const place = operation.inPath.find((each) => each.name === name);
    return filling.path?.[name] ?? (place === undefined ? '' : filling.things[place.thing]);
  });
  const target = filling.query === undefined ? path : `${path}?${filling.query}`;
  if (operation.body === null) return { method: operation.method, path: target };
  return { method: operation.method, path: target, body: sample(document, operation.body, filling, '') };
}

/** What has to be there, and the ids that may be. */
function membersOf({ properties = {}, required = [] }: Schema): string[] {
  return [...new Set([...required, ...Object.keys(properties).filter((key) => key in IN_BODY)])];
}

function sample(document: Document, given: Schema, filling: Filling, name: string): unknown {
  const schema = resolve(document, given);
  const thing = IN_BODY[name];
  if (thing !== undefined) return filling.body?.[name] ?? filling.things[thing];
  if (schema.format === 'uri') return filling.url;
  const told = schema.const ?? schema.enum?.[0] ?? schema.examples?.[0];
  if (told !== undefined) return told;
  if (schema.anyOf?.[0] !== undefined) return sample(document, schema.anyOf[0], filling, name);
  if (schema.type === 'object') {
    return Object.fromEntries(
      membersOf(schema).map((key) => [key, sample(document, schema.properties?.[key] ?? {}, filling, key)]),
    );
  }
  if (schema.type === 'array') return [sample(document, schema.items ?? {}, filling, '')];
  if (schema.type === 'integer' || schema.type === 'number') return schema.minimum ?? 1;
  if (schema.type === 'boolean') return false;
  return schema.format === 'date-time' ? '2026-01-01T00:00:00Z' : 'x'.repeat(schema.minLength ?? 1);
}
