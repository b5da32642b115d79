/** Seals what must not stand in the database in clear. The row's id is bound to the value as associated data. */
export interface SecretBox {
  seal(plain: Uint8Array, rowId: string): Uint8Array<ArrayBuffer>;
  /** @throws {Error} when the value was sealed under an unknown key, for another row, or was altered. */
  open(sealed: Uint8Array, rowId: string): Uint8Array;
}
