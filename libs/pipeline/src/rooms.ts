/** How many more of each endpoint and merchant one worker takes. */
export interface Rooms {
  /** Of endpoints that are not listed. */
  readonly perEndpoint: number;
  readonly endpoints: readonly Room[];
  /** Of merchants that are not listed. */
  readonly perMerchant: number;
  readonly merchants: readonly Room[];
}

export interface Room {
  /** An endpoint's or a merchant's. */
  readonly id: string;
  readonly room: number;
}
