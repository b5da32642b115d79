import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { SecretBox } from '#pipeline/secret-box.js';

/** AES-256. */
const ENCRYPTION_KEY_BYTES = 32;

export interface EncryptionKey {
  /** 1 to 32 of `A-Z a-z 0-9 _ . -`; names the key in what it sealed. */
  readonly id: string;
  /** {@link ENCRYPTION_KEY_BYTES} bytes. */
  readonly key: Uint8Array;
}

/** What GCM is specified for (NIST SP 800-38D, 8.2.1): other lengths are hashed and gain nothing. */
const NONCE_BYTES = 12;
/** The full tag; shorter ones only help forgers (NIST SP 800-38D, appendix C). */
const TAG_BYTES = 16;
/** First byte of the sealed form, so that another layout can be told from this one. */
const LAYOUT = 1;
const HEADER_BYTES = 2;

/**
 * AES-256-GCM with a random nonce for each value. The first key seals, all of them open, which is how keys are rotated.
 *
 * Sealed form: layout (1 byte), length of the key id (1 byte), key id, nonce (12), ciphertext, tag (16). The row's id
 * is the associated data, so a value that is copied into another row does not open.
 */
export class AesGcmSecretBox implements SecretBox {
  readonly #sealingKey: EncryptionKey;
  readonly #keys: ReadonlyMap<string, Uint8Array>;

  /** @throws {RangeError} when there is no key, an id is used twice, or a key does not have 32 bytes. */
  constructor(keys: readonly EncryptionKey[]) {
    const [first] = keys;
    if (first === undefined) throw new RangeError('at least one encryption key is needed');
    for (const { id, key } of keys) {
      if (key.byteLength !== ENCRYPTION_KEY_BYTES) {
        throw new RangeError(`encryption key ${id} must have ${ENCRYPTION_KEY_BYTES} bytes`);
      }
    }
    this.#sealingKey = first;
    this.#keys = new Map(keys.map(({ id, key }) => [id, key]));
    if (this.#keys.size !== keys.length) throw new RangeError('two encryption keys have the same id');
  }

  /** The ids of the keys that can open, the sealing one first. */
  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** The id of the key that seals. */
  get sealingKeyId(): string {
    return this.#sealingKey.id;
  }

  seal(plain: Uint8Array, rowId: string): Uint8Array<ArrayBuffer> {
    const { id, key } = this.#sealingKey;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(rowId, 'utf8'));
    return Buffer.concat([
      sealedPrefix(id),
      nonce,
      cipher.update(plain),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** @throws {SealedValueError} when the value was sealed under an unknown key, for another row, or was altered. */
  open(sealed: Uint8Array, rowId: string): Uint8Array {
    const keyIdEnd = HEADER_BYTES + (sealed[1] ?? 0);
    const textStart = keyIdEnd + NONCE_BYTES;
    const textEnd = sealed.byteLength - TAG_BYTES;
    if (sealed[0] !== LAYOUT || textEnd < textStart) throw new SealedValueError('not a sealed value');
    const keyId = Buffer.from(sealed.subarray(HEADER_BYTES, keyIdEnd)).toString('utf8');
    const key = this.#keys.get(keyId);
    if (key === undefined)
      throw new SealedValueError(`sealed under the unknown key ${JSON.stringify(keyId)}`);
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(keyIdEnd, textStart), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(rowId, 'utf8'));
    decipher.setAuthTag(sealed.subarray(textEnd));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(textStart, textEnd)), decipher.final()]);
    } catch (cause) {
      throw new SealedValueError(
        `does not open with key ${JSON.stringify(keyId)}: altered, or not this row's`,
        { cause },
      );
    }
  }
}

/** What everything that a key has sealed begins with, and nothing that another key has sealed. */
export function sealedPrefix(keyId: string): Uint8Array<ArrayBuffer> {
  const id = Buffer.from(keyId, 'utf8');
  return Buffer.concat([Buffer.from([LAYOUT, id.byteLength]), id]);
}

export class SealedValueError extends Error {
  override readonly name = 'SealedValueError';
}
