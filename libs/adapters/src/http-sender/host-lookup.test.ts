import { expect, test } from '@jest/globals';
import { createSystemLookup } from './host-lookup.js';

test('the system resolver answers with every address of a name', async () => {
  const addresses = await createSystemLookup()('localhost');
  expect(addresses.length).toBeGreaterThan(0);
  for (const { address } of addresses) expect(['127.0.0.1', '::1']).toContain(address);
});

test('concurrent look-ups of one name are one, later ones are new', async () => {
  const lookup = createSystemLookup();
  const first = lookup('localhost');
  expect(lookup('localhost')).toBe(first);
  await first;
  expect(lookup('localhost')).not.toBe(first);
});
