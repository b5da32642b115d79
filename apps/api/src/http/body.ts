import { RouteConfig } from '@nestjs/platform-fastify';
import {
  createParamDecorator,
  Injectable,
  SetMetadata,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { JsonSyntaxError, parseRawJson, type JsonDocument } from '#domain/raw-json.js';
import { ApiError, invalidRequest } from './api-error.js';
import { NO_BODY, stateOf } from './request-state.js';

/** Room for the largest event data (256 KiB) with every character escaped once more than needed. */
export const BODY_BYTES_MAX = 512 * 1024;

const READS_DOCUMENT = 'posthorn:reads-json-document';

/** Another limit than {@link BODY_BYTES_MAX} for one route; larger bodies are answered 413. */
export function BodyBytesMax(bodyBytesMax: number): MethodDecorator {
  return RouteConfig({ bodyBytesMax });
}

/**
 * Handler parameter: the body as a `JsonDocument` whose root is an object, for handlers that need its bytes; `null`
 * for an empty body. A route that has it does without the plain value, so `@Body()` is not usable beside it.
 */
export const JsonDocumentBody = createParamDecorator(
  (_: unknown, context: ExecutionContext): JsonDocument | null =>
    stateOf(context.switchToHttp().getRequest<FastifyRequest>()).document,
  [
    (target: object, key: string | symbol | undefined): void => {
      const descriptor = key === undefined ? undefined : Object.getOwnPropertyDescriptor(target, key);
      if (key !== undefined && descriptor) SetMetadata(READS_DOCUMENT, true)(target, key, descriptor);
    },
  ],
);

/** Handler parameter beside `@Body()`: the same body as a `JsonDocument`, for what a plain value has lost; `null`: empty. */
export const BodyDocument = createParamDecorator(
  (_: unknown, context: ExecutionContext): JsonDocument | null =>
    stateOf(context.switchToHttp().getRequest<FastifyRequest>()).document,
);

/** HTTP methods whose bodies mean something here. */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/**
 * The one parse of a body, after the other guards and before validation: 415, then 400, then 422 for a body that is not an
 * object or that has a key twice. An empty body counts as `{}` and needs no content type.
 */
@Injectable()
export class BodyGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (WITH_BODY.has(request.method)) {
      const document = parseBody(request);
      stateOf(request).document = document;
      const readsDocument =
        this.reflector.get<boolean | undefined>(READS_DOCUMENT, context.getHandler()) === true;
      request.body = document === null || readsDocument ? {} : document.valueOf(document.root);
    }
    return true;
  }
}

function parseBody(request: FastifyRequest): JsonDocument | null {
  const state = stateOf(request);
  state.bodyBytes = Buffer.isBuffer(request.body) ? request.body : NO_BODY;
  if (state.bodyBytes.byteLength === 0) return null;
  if (!isJsonMediaType(state.contentType)) throw new ApiError('unsupported_media_type');
  if (!isIdentity(request.headers['content-encoding'])) {
    throw new ApiError('unsupported_media_type', 'The body must not be compressed.');
  }
  const document = parseJson(state.bodyBytes);
  if (document.root.kind !== 'object')
    throw invalidRequest([{ path: '', message: 'The body must be an object' }]);
  const repeated = document.repeatedKey(document.root);
  if (repeated !== null) throw invalidRequest([{ path: repeated, message: 'is there more than once' }]);
  return document;
}

function parseJson(bytes: Buffer): JsonDocument {
  try {
    return parseRawJson(bytes);
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new ApiError('malformed_json', `Not JSON: ${error.message}.`);
    throw error;
  }
}

/** RFC 9110, 8.3.1: type and subtype and parameter names in any case, a value quoted or not; blanks are HTTP's own two. */
const JSON_MEDIA_TYPE = /^application\/json[ \t]*(?:;[ \t]*(?:charset=(?:utf-8|"utf-8")[ \t]*)?)*$/i;

/** Nothing is decompressed here, so there is no bomb to defuse; RFC 9110, 15.5.16, asks for 415 then. */
function isIdentity(contentEncoding: string | undefined): boolean {
  return contentEncoding === undefined || contentEncoding.toLowerCase() === 'identity';
}

function isJsonMediaType(contentType: string | undefined): boolean {
  return contentType !== undefined && JSON_MEDIA_TYPE.test(contentType);
}
