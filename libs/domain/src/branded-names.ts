/** Names of the headers that carry the operator's brand. */
export interface BrandedNames {
  readonly signature: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly deliveryId: string;
  readonly attempt: string;
}

/**
 * Put together once for a prefix: a name that is made anew for each request is hashed and compared anew wherever it is looked up.
 * @param prefix without the hyphen: `X-Posthorn`
 */
export function brandedNames(prefix: string): BrandedNames {
  let names = NAMES.get(prefix);
  if (names === undefined) {
    names = {
      signature: `${prefix}-Signature`,
      eventId: `${prefix}-Event-Id`,
      eventType: `${prefix}-Event-Type`,
      deliveryId: `${prefix}-Delivery-Id`,
      attempt: `${prefix}-Attempt`,
    };
    NAMES.set(prefix, names);
  }
  return names;
}

/** A process has one prefix, its configuration's. */
const NAMES = new Map<string, BrandedNames>();
