import { Controller, Delete, Get, Header, Inject, Param, Put, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import {
  archiveEventType,
  EVENT_TYPES_MAX,
  type EventTypeRecord,
  findEventType,
  listEventTypes,
  putEventType,
} from '#adapters/postgres/event-types.js';
import type { AuditView } from '#domain/audit-actions.js';
import { isEventType } from '#domain/event-type-pattern.js';
import type { IdMaker } from '#domain/ids.js';
import type { JsonDocument } from '#domain/raw-json.js';
import { Audit, type AuditedCall, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { MerchantScope } from '../auth/principal.js';
import { conflict, invalidRequest, notFound } from '../http/api-error.js';
import { JsonDocumentBody } from '../http/body.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE, ID_MAKER } from '../tokens.js';
import { definitionOf, refuseBreakingChanges } from './event-type-definition.js';
import {
  eventTypeJson,
  eventTypePage,
  eventTypePut,
  eventTypePutQuery,
  eventTypeQuery,
  eventTypeView,
} from './event-type.schema.js';

/** Types are answered as text, so that schema and example stay as they came. */
const JSON_TYPE = 'application/json; charset=utf-8';

@ApiTags('Event types')
@Controller('v1/event-types')
export class EventTypesController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(ID_MAKER) private readonly ids: IdMaker,
    private readonly cursors: Cursors,
  ) {}

  @Put(':name')
  @Scopes('admin')
  @Header('content-type', JSON_TYPE)
  @Operation({
    id: 'putEventType',
    summary: 'Make or replace an event type',
    description:
      'Replaces all of it: what is left out is gone. Holds for the next event on every process. An archived type is in use ' +
      'again. A schema that may refuse data which the one before allowed (a new required member, an enum value or a type ' +
      'gone, at any depth, or what cannot be compared) is a `conflict` that names each change, unless `force` is true; a ' +
      `new optional member is none. There are at most ${EVENT_TYPES_MAX} types.`,
    status: 200,
    body: eventTypePut,
    schema: eventTypeView,
    errors: [...BODY_ERRORS, 'conflict'],
    audit: 'event_type.saved',
  })
  async put(
    @Param('name') name: string,
    @Query({ schema: eventTypePutQuery }) query: z.infer<typeof eventTypePutQuery>,
    @JsonDocumentBody() document: JsonDocument | null,
    @Audit() audit: AuditTrail,
  ): Promise<string> {
    if (!isEventType(name)) throw invalidRequest([{ path: 'name', message: NAME_MESSAGE }]);
    const definition = definitionOf(document);
    const put = await putEventType(
      this.database,
      name,
      this.ids.uuid(),
      definition,
      (current) => {
        if (query.force === 'false') refuseBreakingChanges(current, definition);
      },
      audit.recording(audited(name)),
    );
    switch (put.kind) {
      case 'put':
        return eventTypeJson(put.eventType);
      case 'too_many_types':
        throw conflict(`There are ${EVENT_TYPES_MAX} event types, which is as many as there can be.`);
    }
  }

  @Get()
  @Scopes('webhooks:read')
  @Header('content-type', JSON_TYPE)
  @Operation({
    id: 'listEventTypes',
    summary: 'List event types',
    description: 'What a webhook can subscribe to, also for merchants. Other types may be sent as well.',
    status: 200,
    schema: eventTypePage,
    errors: ['not_found', 'invalid_request'],
  })
  async list(
    @MerchantScope() _merchantId: string | null,
    @Query({ schema: eventTypeQuery }) query: z.infer<typeof eventTypeQuery>,
  ): Promise<string> {
    const includeArchived = query.include_archived === 'true';
    const { data, next_cursor } = await readPage(
      this.cursors,
      { list: 'event-types', merchantId: null, filters: { includeArchived } },
      query,
      (page) => listEventTypes(this.database, includeArchived, page),
      eventTypeJson,
    );
    return `{"data":[${data.join(',')}],"next_cursor":${JSON.stringify(next_cursor)}}`;
  }

  @Get(':name')
  @Scopes('webhooks:read')
  @Header('content-type', JSON_TYPE)
  @Operation({
    id: 'getEventType',
    summary: 'Get an event type',
    description: 'Archived ones too.',
    status: 200,
    schema: eventTypeView,
    errors: ['not_found'],
  })
  async read(@Param('name') name: string): Promise<string> {
    const found = isEventType(name) ? await findEventType(this.database, name) : null;
    if (found === null) throw notFound();
    return eventTypeJson(found);
  }

  @Delete(':name')
  @Scopes('admin')
  @Operation({
    id: 'archiveEventType',
    summary: 'Archive an event type',
    description: 'Its events are refused from now on, on every process. A PUT puts it into use again.',
    status: 204,
    errors: ['not_found'],
    audit: 'event_type.archived',
  })
  async archive(@Param('name') name: string, @Audit() audit: AuditTrail): Promise<void> {
    // One that is archived already stays as it is.
    audit.nothingChanged();
    const isThere =
      isEventType(name) && (await archiveEventType(this.database, name, audit.recording(audited(name))));
    if (!isThere) throw notFound();
  }
}

function audited(
  name: string,
): (before: EventTypeRecord | null, after: EventTypeRecord | null) => AuditedCall {
  return (before, after) => ({
    merchantId: null,
    target: name,
    ...(before !== null && { before: auditView(before) }),
    ...(after !== null && { after: auditView(after) }),
  });
}

function auditView(eventType: EventTypeRecord): AuditView {
  return JSON.parse(eventTypeJson(eventType)) as AuditView;
}

const NAME_MESSAGE = 'must be segments of A–Z a–z 0–9 _ - joined by dots, at most 128 characters';
