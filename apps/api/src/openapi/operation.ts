import { applyDecorators, HttpCode, SetMetadata, UseInterceptors } from '@nestjs/common';
import {
  ApiBody,
  ApiExtension,
  ApiOperation,
  ApiResponse,
  ApiSecurity,
  type ApiBodyOptions,
} from '@nestjs/swagger';
import type { ZodType } from 'zod';
import type { AuditAction } from '#domain/audit-actions.js';
import { AUDITED, AuditInterceptor } from '../audit/audit-trail.js';
import { API_ERRORS, type ApiErrorCode } from '#domain/error-codes.js';

export const BEARER = 'bearer';
/** The action that a call is recorded under, in the OpenAPI document. */
export const AUDIT_EXTENSION = 'x-audit-action';
/** Metadata of a handler: its operation's id. */
export const OPERATION_ID = 'posthorn:operation-id';
const ERROR_REF = '#/components/schemas/Error';

export interface OperationOptions {
  /** Name of the call in generated clients: a verb and a noun, `createMerchant`. */
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  /** Status of success. */
  readonly status: 200 | 201 | 202 | 204;
  /** Of the request's body, where the handler reads the document itself and has no `@Body({ schema })`. */
  readonly body?: ZodType;
  /** Of the answer's body; left out for 204. A schema with `.meta({ id })` becomes a named component. */
  readonly schema?: ZodType;
  /** Beyond those that every call may give. */
  readonly errors?: readonly ApiErrorCode[];
  /** What a call is recorded as; its handler takes `@Audit()` and records it. Whatever changes something or shows a secret. */
  readonly audit?: AuditAction;
  readonly isPublic?: boolean;
}

/** What a call with a JSON body may answer besides. */
export const BODY_ERRORS = [
  'malformed_json',
  'payload_too_large',
  'unsupported_media_type',
  'invalid_request',
] as const satisfies readonly ApiErrorCode[];

/** What any call under /v1 may answer. */
const COMMON_ERRORS = [
  'unauthenticated',
  'forbidden',
  'rate_limited',
  'internal_error',
  'unavailable',
] as const satisfies readonly ApiErrorCode[];

/** Success status and description of a route, as OpenAPI shows them. Every route has one: a test counts them. */
export function Operation(options: OperationOptions): MethodDecorator {
  const { id, summary, description, status, body, schema, errors = [], audit, isPublic = false } = options;
  const codes = isPublic ? errors : [...COMMON_ERRORS, ...errors];
  return applyDecorators(
    HttpCode(status),
    SetMetadata(OPERATION_ID, id),
    ApiOperation({ operationId: id, summary, ...(description === undefined ? {} : { description }) }),
    ApiResponse({
      status,
      description: SUCCESS[status],
      ...(schema === undefined ? {} : { standardSchema: schema }),
    }),
    ...byStatus(codes).map(([errorStatus, text]) =>
      ApiResponse({ status: errorStatus, description: text, schema: { $ref: ERROR_REF } }),
    ),
    ...(isPublic ? [] : [ApiSecurity(BEARER)]),
    ...(audit === undefined
      ? []
      : [
          SetMetadata(AUDITED, audit),
          UseInterceptors(AuditInterceptor),
          ApiExtension(AUDIT_EXTENSION, audit),
        ]),
    ...(body === undefined ? [] : [ApiBody({ standardSchema: body } as ApiBodyOptions)]),
  );
}

const SUCCESS: Readonly<Record<OperationOptions['status'], string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'Done; no body',
};

function byStatus(codes: readonly ApiErrorCode[]): [status: number, text: string][] {
  const texts = new Map<number, string[]>();
  for (const code of new Set(codes)) {
    const { status, meaning } = API_ERRORS[code];
    texts.set(status, [...(texts.get(status) ?? []), `\`${code}\`: ${meaning}`]);
  }
  return [...texts].map(([status, lines]) => [status, lines.join('\n\n')]);
}
