import { ALARM_AFTER_UNKNOWNS } from '#pipeline/delivery-store.js';
import type { Statements } from './database.js';

export interface AlarmingDelivery {
  readonly deliveryId: string;
  readonly endpointId: string;
  /** Attempts whose end nobody saw. */
  readonly unknowns: number;
}

/** Deliveries that have outlived so many workers that they are what ends them: those that did most, first. */
export function findAlarming(db: Statements): Promise<AlarmingDelivery[]> {
  return db.$queryRaw<AlarmingDelivery[]>`
    SELECT delivery_id AS "deliveryId", endpoint_id AS "endpointId", unknowns
    FROM open_deliveries
    WHERE unknowns >= ${ALARM_AFTER_UNKNOWNS}
    ORDER BY unknowns DESC LIMIT ${SHOWN_MAX}`;
}

/** A line that names more than this is not read. */
const SHOWN_MAX = 20;
