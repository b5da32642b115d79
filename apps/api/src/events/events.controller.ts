import { Controller, Get, Header, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type * as z from 'zod';
import type { Principal } from '#adapters/postgres/api-keys.js';
import { EventLog } from '#adapters/postgres/event-log.js';
import type { JsonDocument } from '#domain/raw-json.js';
import { type AcceptedEvent, Acceptor, type EventDraft, type EventTypeProblem } from '#pipeline/accept.js';
import { ConfirmsKey, CurrentPrincipal, Scopes } from '../auth/decorators.js';
import { unauthenticated } from '../auth/failed-authentication.js';
import { MerchantScope } from '../auth/principal.js';
import { ApiError, conflict, type InputProblem, invalidRequest, notFound } from '../http/api-error.js';
import { BodyBytesMax, JsonDocumentBody } from '../http/body.js';
import { idempotencyKeyOf } from '../http/idempotency.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { draftOf, draftsOf } from './event-drafts.js';
import { eventJson, eventView } from './event-view.js';
import {
  acceptedEvent,
  acceptedEvents,
  acceptedEventView,
  BATCH_BYTES_MAX,
  eventPage,
  eventQuery,
  isEventId,
  newEvent,
  newEventBatch,
} from './events.schema.js';

/** Events are answered as text, so that their data stays as it came. */
const JSON_TYPE = 'application/json; charset=utf-8';

@Controller('v1/events')
@Scopes('events:write')
export class EventsController {
  constructor(
    private readonly acceptor: Acceptor,
    private readonly log: EventLog,
    private readonly cursors: Cursors,
  ) {}

  @Get()
  @Scopes('deliveries:read')
  @Header('content-type', JSON_TYPE)
  @Operation({
    id: 'listEvents',
    summary: 'List events',
    status: 200,
    schema: eventPage,
    errors: ['not_found', 'invalid_request'],
  })
  async list(
    @MerchantScope() merchantId: string | null,
    @Query({ schema: eventQuery }) query: z.infer<typeof eventQuery>,
  ): Promise<string> {
    const { data, next_cursor } = await readPage(
      this.cursors,
      { list: 'events', merchantId },
      query,
      (page) => this.log.list(merchantId, page),
      eventJson,
    );
    return `{"data":[${data.join(',')}],"next_cursor":${JSON.stringify(next_cursor)}}`;
  }

  @Get(':id')
  @Scopes('deliveries:read')
  @Header('content-type', JSON_TYPE)
  @Operation({
    id: 'getEvent',
    summary: 'Get an event',
    description:
      "By the id that was made, or the producer's own. A platform key that asks for an id which several merchants' " +
      'events have gets a `conflict`, and names the `merchant_id`.',
    status: 200,
    schema: eventView,
    errors: ['not_found', 'conflict'],
  })
  async read(@Param('id') publicId: string, @MerchantScope() merchantId: string | null): Promise<string> {
    if (!isEventId(publicId)) throw notFound();
    const ids = await this.log.idsOf(publicId, merchantId ?? undefined);
    const [id] = ids;
    if (ids.length > 1)
      throw conflict('Several merchants have an event of this id: name one with ?merchant_id=.');
    const event = id === undefined ? null : await this.log.find({ id, merchantId: merchantId ?? undefined });
    if (event === null) throw notFound();
    return eventJson(event);
  }

  @Post()
  @HttpCode(202)
  @ConfirmsKey()
  @Operation({
    id: 'sendEvent',
    summary: 'Send an event',
    description:
      'Answers once the event and one delivery for each matching endpoint are committed, whatever state the queue is in. ' +
      'Data of a type with a JSON Schema must fit it, as `JSON.parse` reads it; each problem has the path `data` followed ' +
      'by a JSON Pointer. Types that are not in the catalogue are accepted, archived ones are not.',
    status: 202,
    body: newEvent,
    schema: acceptedEvent,
    errors: [...BODY_ERRORS, 'not_found', 'idempotency_conflict', 'schema_mismatch'],
  })
  async send(
    @JsonDocumentBody() document: JsonDocument | null,
    @CurrentPrincipal() principal: Principal,
    @Req() request: FastifyRequest,
  ) {
    const [event] = await this.accept([draftOf(document, principal)], principal, request, () => '');
    return acceptedEventView(event as AcceptedEvent);
  }

  @Post('batch')
  @HttpCode(202)
  @ConfirmsKey()
  @BodyBytesMax(BATCH_BYTES_MAX)
  @Operation({
    id: 'sendEvents',
    summary: 'Send up to 500 events, all or none',
    description: 'The answers stand in the order of the events.',
    status: 202,
    body: newEventBatch,
    schema: acceptedEvents,
    errors: [...BODY_ERRORS, 'not_found', 'idempotency_conflict', 'schema_mismatch'],
  })
  async sendBatch(
    @JsonDocumentBody() document: JsonDocument | null,
    @CurrentPrincipal() principal: Principal,
    @Req() request: FastifyRequest,
  ) {
    const drafts = draftsOf(document, principal);
    const events = await this.accept(drafts, principal, request, (index) => `events.${index}.`);
    return { data: events.map(acceptedEventView) };
  }

  private async accept(
    events: readonly EventDraft[],
    principal: Principal,
    request: FastifyRequest,
    prefixOf: (index: number) => string,
  ): Promise<readonly AcceptedEvent[]> {
    const key = idempotencyKeyOf(request);
    const outcome = await this.acceptor.accept({
      apiKeyId: principal.keyId,
      events,
      idempotencyKey: key === null ? null : { key, merchantId: commonMerchant(events) },
    });
    switch (outcome.kind) {
      case 'accepted':
        return outcome.events;
      case 'unknown_merchant':
        throw notFound();
      case 'type_refused':
        throw typeRefused(outcome.problems, prefixOf);
      case 'key_refused':
        throw unauthenticated();
      case 'conflict': {
        const path = outcome.index === null ? 'Idempotency-Key' : `${prefixOf(outcome.index)}id`;
        const message = 'was used before with other content';
        throw new ApiError('idempotency_conflict', `${path}: ${message}`, { errors: [{ path, message }] });
      }
    }
  }
}

/** An archived type is told first: its events cannot be mended. */
function typeRefused(problems: readonly EventTypeProblem[], prefixOf: (index: number) => string): ApiError {
  const archived: InputProblem[] = [];
  const mismatches: InputProblem[] = [];
  for (const problem of problems) {
    const prefix = prefixOf(problem.index);
    if (problem.kind === 'archived') archived.push({ path: `${prefix}type`, message: 'is archived' });
    else mismatches.push({ path: `${prefix}data${problem.pointer}`, message: problem.message });
  }
  const [first, ...rest] = archived.length > 0 ? archived : mismatches;
  if (first === undefined) throw new TypeError('refused for no reason');
  const code = archived.length > 0 ? 'invalid_request' : 'schema_mismatch';
  return invalidRequest([first, ...rest.slice(0, PROBLEMS_MAX - 1)], code);
}

/** As for any other body: more problems than anybody fixes in one go. */
const PROBLEMS_MAX = 100;

/** Whose key it is: the merchant's when all events are one merchant's, else the platform's own. */
function commonMerchant(events: readonly EventDraft[]): string {
  const [first] = events;
  const isCommon = first !== undefined && events.every(({ merchantId }) => merchantId === first.merchantId);
  return isCommon ? first.merchantId : NO_MERCHANT;
}

const NO_MERCHANT = '00000000-0000-0000-0000-000000000000';
