import {
  createParamDecorator,
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { map, type Observable } from 'rxjs';
import type { Statements } from '#adapters/postgres/database.js';
import { PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { type OnChange, writeAudit } from '#adapters/postgres/write-audit.js';
import { type AuditAction, type AuditView, auditedChange } from '#domain/audit-actions.js';
import type { IdMaker } from '#domain/ids.js';
import { OPERATOR_ID } from '#domain/operator.js';
import { principalOf } from '../auth/principal.js';
import { clientAddressOf } from '../http/client-address.js';
import { ID_MAKER } from '../tokens.js';

/** What a call did, as far as its handler knows it. */
export interface AuditedCall {
  /** UUID; null: it concerns no one merchant. */
  readonly merchantId: string | null;
  /** TypeID or name. */
  readonly target: string;
  /** As the API shows it, without any secret; left out: there was nothing. */
  readonly before?: AuditView;
  /** As the API shows it, without any secret; left out: there is nothing any more. */
  readonly after?: AuditView;
  /** Members that changed though their views, which hide values, are equal. */
  readonly hiddenMembers?: readonly string[];
}

/** Writes the entry of one request into the audit log. */
export class AuditTrail {
  #isSettled = false;

  constructor(
    private readonly ids: IdMaker,
    private readonly request: FastifyRequest,
    private readonly action: AuditAction,
  ) {}

  /** Whether the handler has said what is to be recorded, if anything. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** @param statements the transaction of the change itself; for a reading, the database */
  async record(statements: Statements, call: AuditedCall): Promise<void> {
    const { merchantId, target, before = null, after = null, hiddenMembers } = call;
    await writeAudit(statements, {
      id: this.ids.uuid(),
      action: this.action,
      keyId: principalOf(this.request).keyId,
      merchantId: merchantId === OPERATOR_ID ? null : merchantId,
      target,
      payload: {
        address: clientAddressOf(this.request),
        request_id: this.request.id,
        ...auditedChange(before, after, hiddenMembers),
      },
    });
    this.#isSettled = true;
  }

  /** For a store that makes the transaction itself: what it is to do inside. */
  recording<Row>(describe: (before: Row, after: Row) => AuditedCall): OnChange<Row> {
    return (statements, before, after) => this.record(statements, describe(before, after));
  }

  /** The call was answered and has changed nothing. */
  nothingChanged(): void {
    this.#isSettled = true;
  }
}

const trails = new WeakMap<FastifyRequest, AuditTrail>();

/** Handler parameter of an operation that declares `audit`: records what the call did. */
export const Audit = createParamDecorator((_: unknown, context: ExecutionContext): AuditTrail => {
  const trail = trails.get(context.switchToHttp().getRequest<FastifyRequest>());
  if (trail === undefined) throw new Error('the operation declares no `audit`: it has no trail');
  return trail;
});

/** Metadata of a handler: the action that its calls are recorded under. */
export const AUDITED = 'posthorn:audited';

/** Gives a handler its {@link Audit}, and lets none that declares one succeed without having used it. */
@Injectable()
export class AuditInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    @Inject(ID_MAKER) private readonly ids: IdMaker,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const action = this.reflector.get<AuditAction | undefined>(AUDITED, context.getHandler());
    if (action === undefined) return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const trail = new AuditTrail(this.ids, request, action);
    trails.set(request, trail);
    return next.handle().pipe(
      map((answer: unknown) => {
        const isReplay = answer instanceof PostAnswer && answer.isReplay;
        // A fault in the handler, and the same on every call: the first test of the route finds it.
        if (!trail.isSettled && !isReplay) throw new Error(`${action} was done and not recorded`);
        return answer;
      }),
    );
  }
}
