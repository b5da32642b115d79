import type { INestApplication } from '@nestjs/common';
import { MetadataScanner, ModulesContainer, Reflector } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import * as z from 'zod';
import { API_ERRORS } from '#domain/error-codes.js';
import { SCOPES } from '../auth/decorators.js';
import { BEARER, OPERATION_ID } from './operation.js';

const OPENAPI_VERSION = '3.1.1';

/** The body of every error, as a component. */
const errorSchema = z
  .object({
    status: z.int().min(400).max(599).meta({ description: "The response's status." }),
    code: z
      .enum(Object.keys(API_ERRORS) as [string, ...string[]])
      .meta({ description: 'For programs: stable.' }),
    message: z.string().meta({ description: 'For people: may change.' }),
    data: z
      .object({ errors: z.array(z.object({ path: z.string(), message: z.string() })).optional() })
      .loose()
      .nullable()
      .meta({ description: 'For invalid input: each problem and the path of its field.' }),
    request_id: z.string(),
  })
  .meta({ id: 'Error', description: 'What every error looks like.' });

/** The OpenAPI 3.1 document of everything that the application serves. */
export function openApiDocument(app: INestApplication, version: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion(OPENAPI_VERSION)
    .setTitle('Posthorn')
    .setDescription(
      'Outbound webhooks: post an event once; every endpoint that asked for it gets it, signed and retried.',
    )
    .setVersion(version)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/')
    .addSecurity(BEARER, { type: 'http', scheme: 'bearer', description: 'A platform key or a merchant key.' })
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? jsonSchemaOf(schema, schemaType) : undefined,
  });
  const { components } = jsonSchemaOf(errorSchema, 'output');
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, ...components },
    headers: HEADERS,
    parameters: {
      IdempotencyKey: {
        name: 'Idempotency-Key',
        in: 'header',
        required: false,
        description:
          'Makes the call safe to repeat for 24 hours: the same content gets the first answer again.',
        schema: { type: 'string', minLength: 1, maxLength: 255 },
      },
    },
  };
  const scopes = scopesByOperation(app);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of operationsOf(item)) {
      complete(path, method, operation);
      const needed = scopes.get(operation.operationId ?? '');
      if (needed !== undefined) operation.security = [{ [BEARER]: [...needed] }];
      admitEmptyBody(operation, document.components.schemas ?? {});
    }
  }
  return document;
}

const HEADERS = {
  RequestId: { description: 'Names this request in our logs.', schema: { type: 'string' } },
  RetryAfter: {
    description: 'Seconds after which the call may be made again (RFC 9110, 10.2.3).',
    schema: { type: 'integer', minimum: 1 },
    example: 1,
  },
  RateLimitLimit: {
    description: "Requests that a merchant's key may make at once. Not sent for a platform key.",
    schema: { type: 'integer', minimum: 1 },
    example: 1_000,
  },
  RateLimitRemaining: {
    description: 'How many of them are left.',
    schema: { type: 'integer', minimum: 0 },
    example: 999,
  },
  RateLimitReset: {
    description: 'Seconds after which all of them are there again.',
    schema: { type: 'integer', minimum: 0 },
    example: 1,
  },
} as const satisfies NonNullable<OpenAPIObject['components']>['headers'];

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

/** JSON Schema 2020-12, which is what OpenAPI 3.1 takes as it is; what has an id becomes a component. */
function jsonSchemaOf(
  schema: z.ZodType,
  io: 'input' | 'output',
): { schema: Schemas[string]; components: Schemas } {
  const { $defs, ...root } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // Answers may get more members in time; only what is strict on purpose is closed.
      const { def } = zodSchema._zod;
      if (def.type === 'object' && !('catchall' in def && def.catchall))
        delete jsonSchema.additionalProperties;
    },
  });
  const rewritten = JSON.parse(
    JSON.stringify({ root: { ...root, $schema: undefined }, components: $defs ?? {} }).replaceAll(
      '"#/$defs/',
      '"#/components/schemas/',
    ),
  ) as { root: Schemas[string]; components: Schemas };
  return { schema: rewritten.root, components: rewritten.components };
}

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['get']>;
const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;
type Method = (typeof METHODS)[number];

export function operationsOf(item: PathItem): [Method, Operation][] {
  return METHODS.flatMap((method) => {
    const operation = item[method];
    return operation === undefined ? [] : [[method, operation]];
  });
}

/** Which scopes each operation needs. OpenAPI 3.1 takes them as role names of a scheme that is not OAuth. */
function scopesByOperation(app: INestApplication): ReadonlyMap<string, readonly string[]> {
  const reflector = app.get(Reflector);
  const scanner = new MetadataScanner();
  const scopes = new Map<string, readonly string[]>();
  for (const module of app.get(ModulesContainer).values()) {
    for (const { metatype } of module.controllers.values()) {
      if (metatype === null) continue;
      const prototype = metatype.prototype as Readonly<Record<string, () => unknown>>;
      for (const name of scanner.getAllMethodNames(prototype)) {
        const handler = prototype[name];
        if (handler === undefined) continue;
        const id = reflector.get<string | undefined>(OPERATION_ID, handler);
        const needed = reflector.getAllAndOverride<readonly string[] | undefined>(SCOPES, [
          handler,
          metatype,
        ]);
        if (id !== undefined && needed !== undefined) scopes.set(id, needed);
      }
    }
  }
  return scopes;
}

/** Adds what holds for every operation: its path's parameters, the Idempotency-Key of a POST, the headers of answers. */
function complete(path: string, method: Method, operation: Operation): void {
  const parameters = (operation.parameters ??= []);
  for (const [, name = ''] of path.matchAll(/\{(\w+)\}/g)) {
    if (
      parameters.some((parameter) => 'in' in parameter && parameter.in === 'path' && parameter.name === name)
    )
      continue;
    parameters.push({ name, in: 'path', required: true, schema: { type: 'string' } });
  }
  if (method === 'post') parameters.push({ $ref: '#/components/parameters/IdempotencyKey' });
  const needsKey = operation.security !== undefined;
  for (const [status, response] of Object.entries(operation.responses)) {
    if (response !== undefined && !('$ref' in response)) {
      response.headers = { ...response.headers, ...headersOf(status, needsKey) };
    }
  }
}

function headersOf(status: string, needsKey: boolean): Readonly<Record<string, { readonly $ref: string }>> {
  return {
    'X-Request-Id': { $ref: '#/components/headers/RequestId' },
    ...(RETRYABLE.has(status) && { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } }),
    ...(needsKey && (status.startsWith('2') || status === '429') && RATE_HEADERS),
  };
}

const RETRYABLE: ReadonlySet<string> = new Set(['429', '503']);
const RATE_HEADERS = {
  'RateLimit-Limit': { $ref: '#/components/headers/RateLimitLimit' },
  'RateLimit-Remaining': { $ref: '#/components/headers/RateLimitRemaining' },
  'RateLimit-Reset': { $ref: '#/components/headers/RateLimitReset' },
};

/** An empty body counts as `{}`, so it may be left out where every field may be. */
function admitEmptyBody(operation: Operation, schemas: Schemas): void {
  const body = operation.requestBody;
  if (body === undefined || '$ref' in body) return;
  const schema = body.content['application/json']?.schema;
  const named =
    schema && '$ref' in schema ? schemas[schema.$ref.replace('#/components/schemas/', '')] : schema;
  body.required = named !== undefined && 'required' in named && (named.required ?? []).length > 0;
}
