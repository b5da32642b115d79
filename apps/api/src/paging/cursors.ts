import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { invalidRequest } from '../http/api-error.js';

/** What a cursor belongs to: used with another list, merchant or filter, it is refused. */
export interface ListIdentity {
  /** The list's name, such as `merchants`. */
  readonly list: string;
  /** UUID; null: across merchants. */
  readonly merchantId: string | null;
  /** Everything that decides which rows are in the list, as the client gave it. */
  readonly filters?: Readonly<Record<string, unknown>>;
}

const UUID_BYTES = 16;
/** 128 bits: a cursor only ever points into rows that its holder may read, so this is a seal and no secret. */
const SEAL_BYTES = 16;
const KEY_BYTES = 32;

/** Makes and reads opaque cursors: the last id that was looked at, and a seal over it and the list that it belongs to. */
@Injectable()
export class Cursors {
  readonly #key: Uint8Array;

  /** @param secret the operator's first encryption key, so that every process reads what another has made */
  constructor(secret: Uint8Array) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'posthorn page cursors', KEY_BYTES));
  }

  /** @param lastId UUID of the last row of a page, or of the last that was looked at for it */
  make(list: ListIdentity, lastId: string): string {
    const id = Buffer.from(lastId.replaceAll('-', ''), 'hex');
    return Buffer.concat([id, this.#seal(list, id)]).toString('base64url');
  }

  /**
   * The UUID that the next page stands before.
   * @throws {ApiError} 422 for a cursor that was not made for this list
   */
  read(list: ListIdentity, cursor: string): string {
    const bytes = Buffer.from(cursor, 'base64url');
    const id = bytes.subarray(0, UUID_BYTES);
    const isOurs =
      bytes.byteLength === UUID_BYTES + SEAL_BYTES &&
      // One spelling for each cursor: what the decoder forgives is not ours.
      bytes.toString('base64url') === cursor &&
      timingSafeEqual(bytes.subarray(UUID_BYTES), this.#seal(list, id));
    if (!isOurs)
      throw invalidRequest([{ path: 'cursor', message: 'is not a cursor of this list with these filters' }]);
    return id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  #seal({ list, merchantId, filters = {} }: ListIdentity, id: Uint8Array): Buffer {
    const given = Object.entries(filters).filter(([, value]) => value !== undefined);
    const identity = JSON.stringify([list, merchantId, given.sort(([a], [b]) => (a < b ? -1 : 1))]);
    return createHmac('sha256', this.#key).update(identity).update(id).digest().subarray(0, SEAL_BYTES);
  }
}
