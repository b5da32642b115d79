import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { NestFactory } from '@nestjs/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { nestLogger } from '#observability/logger.js';
import { ApiModule, type ApiOptions } from './api.module.js';
import { BODY_BYTES_MAX } from './http/body.js';
import { trustedProxies } from './http/client-address.js';
import { answerClientError, replaceNodeRefusals } from './http/client-error.js';
import { describeError } from './http/describe-error.js';
import { drainConnections } from './http/drain-connections.js';
import { sendError } from './http/error-answer.js';
import { observeRequests } from './http/observe-requests.js';
import { NO_BODY } from './http/request-state.js';
import { RouteTable } from './http/route-table.js';
import { ANSWER_HEADERS } from './http/security-headers.js';
import { HEADERS_BYTES_MAX, SERVER_LIMITS } from './http/server-limits.js';
import { openApiDocument } from './openapi/document.js';
import { OpenApiDocument } from './openapi/docs.controller.js';

/** No id is longer; a longer one names nothing. */
const PATH_PARAMETER_LENGTH_MAX = 256;

/**
 * The HTTP edge, ready to `listen` or to be asked by `inject`. Listens to nothing, reads no configuration and takes
 * no signals; `close()` finishes the requests under way, and leaves what it was given to its owner.
 */
export async function createApi(options: ApiOptions): Promise<NestFastifyApplication> {
  const adapter = createAdapter(options);
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule.register(options), adapter, {
    logger: nestLogger(options.logger),
    bodyParser: false,
    abortOnError: false,
  });
  await prepareApi(app, options);
  return app;
}

/** The Fastify server that {@link ApiModule} expects: request ids, raw bodies, errors in the one shape. */
export function createAdapter(
  options: Pick<ApiOptions, 'idMaker' | 'serverLimits' | 'trustedProxies'>,
): FastifyAdapter {
  const limits = { ...SERVER_LIMITS, ...options.serverLimits };
  const newRequestId = (): string => formatId(ID_PREFIXES.request, options.idMaker.uuid());
  return new FastifyAdapter({
    genReqId: newRequestId,
    requestIdHeader: false,
    trustProxy: trustedProxies(options.trustedProxies),
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.silenceTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    http: {
      requireHostHeader: false,
      maxHeaderSize: HEADERS_BYTES_MAX,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.timeoutCheckMs,
    },
    // While it closes, requests that are already here are served, and their connections closed after them.
    return503OnClosing: false,
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      sendError(describeError(error), request, reply),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, newRequestId),
  });
}

/** Applies all that is not a module's business to an application that has {@link ApiModule} in it, and starts it up. */
export async function prepareApi(app: NestFastifyApplication, options: ApiOptions): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  takeRawBodies(fastify);
  replaceNodeRefusals(fastify);
  drainConnections(fastify);
  followRoutes(fastify, app.get(RouteTable));
  observeRequests(fastify, options.logger, options.metrics);
  await app.init();
  app.get(OpenApiDocument).set(openApiDocument(app, options.version));
  await fastify.ready();
}

/** Every body stays a Buffer, whatever its content type says: what it may be is judged after who sent it. */
function takeRawBodies(fastify: FastifyInstance): void {
  fastify.decorateRequest('posthorn', null);
  fastify.addHook('onRequest', (request, reply, done) => {
    const contentType = request.headers['content-type'];
    request.posthorn = {
      startedAtMs: performance.now(),
      contentType,
      principal: null,
      isKeyUnconfirmed: false,
      admission: null,
      loaded: null,
      document: null,
      bodyBytes: NO_BODY,
    };
    // Fastify itself would answer a content type that it cannot read with 415, before anybody asked for the key.
    if (contentType !== undefined) request.headers['content-type'] = 'application/octet-stream';
    void reply.headers(ANSWER_HEADERS).header('x-request-id', request.id);
    done();
  });
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

function followRoutes(fastify: FastifyInstance, routes: RouteTable): void {
  fastify.addHook('onRoute', (route) => {
    routes.add(route.url, route.method);
    const bodyBytesMax = (route.config as { bodyBytesMax?: number } | undefined)?.bodyBytesMax;
    if (bodyBytesMax !== undefined) route.bodyLimit = bodyBytesMax;
  });
}
