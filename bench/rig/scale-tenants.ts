import { parseId } from '#domain/ids.js';
import type { Producer } from './producer.js';
import { ENDPOINTS_PER_MERCHANT, FAT_MERCHANT, MAIN_ENDPOINT, MERCHANTS } from './scale-model.js';

/** A merchant with its endpoints, in the order of the model's places. */
export interface Tenant {
  readonly merchantId: string;
  readonly merchantUuid: string;
  readonly endpointIds: readonly string[];
  readonly endpointUuids: readonly string[];
}

/** The whole of what may be in flight to one endpoint: the limit is not what is measured. */
const MAX_IN_FLIGHT = 1_000;
/** No event has it, so that the endpoints that are not measured get nothing new. */
const NO_TYPE = 'no.event';

/** Makes the merchants that the log will be of. What is accepted for the fat one goes to its main endpoint. */
export async function makeTenants(
  producer: Producer,
  receiverUrl: string,
  connections: number,
): Promise<Tenant[]> {
  const tenants: Tenant[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let place = next++; place < MERCHANTS; place = next++)
      tenants[place] = await makeTenant(producer, receiverUrl, place);
  };
  await Promise.all(Array.from({ length: connections }, work));
  return tenants;
}

async function makeTenant(producer: Producer, receiverUrl: string, place: number): Promise<Tenant> {
  const { answer: merchant } = await producer.post('/v1/merchants', { name: `merchant ${place}` });
  const endpointIds: string[] = [];
  for (let endpoint = 0; endpoint < ENDPOINTS_PER_MERCHANT; endpoint += 1) {
    const isMeasured = place === FAT_MERCHANT && endpoint === MAIN_ENDPOINT;
    const { answer } = await producer.post('/v1/webhooks', {
      merchant_id: merchant.id,
      url: `${receiverUrl}${place}/${endpoint}`,
      events: [isMeasured ? '*' : NO_TYPE],
      max_in_flight: MAX_IN_FLIGHT,
    });
    endpointIds.push(answer.id);
  }
  return {
    merchantId: merchant.id,
    merchantUuid: parseId('mrc', merchant.id) ?? '',
    endpointIds,
    endpointUuids: endpointIds.map((id) => parseId('wh', id) ?? ''),
  };
}
