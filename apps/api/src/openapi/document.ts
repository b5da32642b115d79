import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import * as z from 'zod';
import { API_ERRORS } from '#domain/error-codes.js';
import { BEARER } from './operation.js';

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
    headers: { RequestId: { description: 'Names this request in our logs.', schema: { type: 'string' } } },
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
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of operationsOf(item)) {
      complete(path, method, operation);
      admitEmptyBody(operation, document.components.schemas ?? {});
    }
  }
  return document;
}

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

/** Adds what holds for every operation: its path's parameters, the Idempotency-Key of a POST, the X-Request-Id. */
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
  for (const response of Object.values(operation.responses)) {
    if (response !== undefined && !('$ref' in response)) {
      response.headers = { ...response.headers, 'X-Request-Id': { $ref: '#/components/headers/RequestId' } };
    }
  }
}

/** An empty body counts as `{}`, so it may be left out where every field may be. */
function admitEmptyBody(operation: Operation, schemas: Schemas): void {
  const body = operation.requestBody;
  if (body === undefined || '$ref' in body) return;
  const schema = body.content['application/json']?.schema;
  const named =
    schema && '$ref' in schema ? schemas[schema.$ref.replace('#/components/schemas/', '')] : schema;
  body.required = named !== undefined && 'required' in named && (named.required ?? []).length > 0;
}
