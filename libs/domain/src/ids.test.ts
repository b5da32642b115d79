import { randomBytes } from 'node:crypto';

import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { TypeID } from 'typeid-js';

import { formatId, ID_PREFIXES, IdMaker, parseId, uuidCeil, uuidFloor, uuidTimeMs } from './ids.js';

const MS = 1_775_106_080_123;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('TypeIDs', () => {
  // https://github.com/jetify-com/typeid/blob/main/spec/valid.yml
  test.each([
    ['00000000-0000-0000-0000-000000000000', '00000000000000000000000000'],
    ['00000000-0000-0000-0000-000000000020', '00000000000000000000000010'],
    ['ffffffff-ffff-ffff-ffff-ffffffffffff', '7zzzzzzzzzzzzzzzzzzzzzzzzz'],
    ['0110c853-1d09-52d8-d73e-1194e95b5f19', '0123456789abcdefghjkmnpqrs'],
    ['01890a5d-ac96-774b-bcce-b302099a8057', '01h455vb4pex5vsknk084sn02q'],
  ])('%s is evt_%s', (uuid, suffix) => {
    expect(formatId('evt', uuid)).toBe(`evt_${suffix}`);
    expect(parseId('evt', `evt_${suffix}`)).toBe(uuid);
  });

  test('every UUID survives under every prefix', () => {
    const prefix = fc.constantFrom(...Object.values(ID_PREFIXES));
    fc.assert(
      fc.property(prefix, fc.uuid(), (kind, uuid) => {
        const id = formatId(kind, uuid);
        expect(id).toBe(TypeID.fromUUID(kind, uuid).toString());
        expect(parseId(kind, id)).toBe(uuid);
      }),
    );
  });

  test.each([
    ['another prefix', 'dlv_01h455vb4pex5vsknk084sn02q'],
    ['no prefix', '01h455vb4pex5vsknk084sn02q'],
    ['no separator', 'evt01h455vb4pex5vsknk084sn02q'],
    ['an empty suffix', 'evt_'],
    ['upper case', 'evt_01H455VB4PEX5VSKNK084SN02Q'],
    ['an upper-case prefix', 'EVT_01h455vb4pex5vsknk084sn02q'],
    ['overflow', 'evt_8zzzzzzzzzzzzzzzzzzzzzzzzz'],
    ['25 characters', 'evt_01h455vb4pex5vsknk084sn02'],
    ['27 characters', 'evt_01h455vb4pex5vsknk084sn02qq'],
    ['a letter that Crockford left out', 'evt_01h455vb4pex5vsknk084sn02u'],
    ['a second prefix', 'evt_evt_01h455vb4pex5vsknk084sn02q'],
    ['a trailing line feed', 'evt_01h455vb4pex5vsknk084sn02q\n'],
    ['a character whose low byte is a digit', 'evt_01h455vb4pex5vsknk084sn0\u0130q'],
    ['a bare UUID', 'evt_01890a5d-ac96-774b-bcce-b302099a8057'],
    ['nothing', ''],
  ])('%s is refused', (_what, text) => {
    expect(parseId('evt', text)).toBeNull();
  });

  test('any 128 bits are read, whatever version they claim', () => {
    const suffix = fc.stringMatching(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/);
    fc.assert(
      fc.property(suffix, (text) => {
        const uuid = parseId('att', `att_${text}`);
        expect(uuid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        expect(formatId('att', uuid ?? '')).toBe(`att_${text}`);
      }),
    );
  });

  test('arbitrary text never throws', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parseId('wh', `wh_${text}`) === null));
  });
});

describe('bounds of a millisecond', () => {
  test('ms bits then zeros, ms bits then ones', () => {
    expect(uuidFloor(0x0123456789ab)).toBe('01234567-89ab-0000-0000-000000000000');
    expect(uuidCeil(0x0123456789ab)).toBe('01234567-89ab-ffff-ffff-ffffffffffff');
    expect(uuidFloor(0)).toBe('00000000-0000-0000-0000-000000000000');
    expect(uuidCeil(2 ** 48 - 1)).toBe('ffffffff-ffff-ffff-ffff-ffffffffffff');
  });

  test('hold every key of their millisecond and none of the next', () => {
    const maker = new IdMaker(() => MS, randomBytes);
    const ms = fc.integer({ min: 0, max: 2 ** 48 - 2 });
    fc.assert(
      fc.property(ms, (at) => {
        const key = maker.uuidAt(at);
        expect(uuidTimeMs(key)).toBe(at);
        expect(key >= uuidFloor(at) && key <= uuidCeil(at)).toBe(true);
        expect(uuidCeil(at) < uuidFloor(at + 1)).toBe(true);
      }),
    );
  });

  test.each([-1, 2 ** 48, Number.NaN, Infinity])('%d ms is refused', (ms) => {
    expect(() => uuidFloor(ms)).toThrow(RangeError);
    expect(() => uuidCeil(ms)).toThrow(RangeError);
  });
});

describe('IdMaker', () => {
  test('lays out time, version, counter, variant and random bits (RFC 9562, 5.7)', () => {
    const ones = new IdMaker(
      () => 0x0123456789ab,
      (n) => new Uint8Array(n).fill(0xff),
    );
    expect(ones.uuid()).toBe('01234567-89ab-77ff-bfff-ffffffffffff');
    expect(ones.uuid()).toBe('01234567-89ab-7800-8000-0000ffffffff');
    const zeros = new IdMaker(
      () => 0x0123456789ab,
      (n) => new Uint8Array(n),
    );
    expect(zeros.uuid()).toBe('01234567-89ab-7000-8000-000000000000');
    expect(zeros.uuid()).toBe('01234567-89ab-7000-8000-000100000000');
    expect(zeros.uuidAt(1)).toBe('00000000-0001-7000-8000-000000000000');
  });

  test('keys ascend while the clock stands, goes on and steps back a little', () => {
    const steps = fc.array(fc.integer({ min: -9_000, max: 9_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(steps, (offsets) => {
        let now = MS;
        const maker = new IdMaker(() => now, randomBytes);
        let last = '';
        for (const offset of offsets) {
          now = Math.max(MS, now + Math.max(offset, last === '' ? offset : uuidTimeMs(last) - 10_000 - now));
          const key = maker.uuid();
          expect(key).toMatch(UUID_V7);
          expect(key > last).toBe(true);
          last = key;
        }
      }),
    );
  });

  test('a clock that was far ahead is not followed into the future', () => {
    let now = MS + 86_400_000;
    const maker = new IdMaker(() => now, randomBytes);
    maker.uuid();
    now = MS;
    expect(uuidTimeMs(maker.uuid())).toBe(MS);
  });

  test('keys of a given millisecond ascend, mixed with others and with keys of now', () => {
    const maker = new IdMaker(() => MS, randomBytes);
    const keys = { past: [] as string[], now: [] as string[] };
    for (let turn = 0; turn < 5_000; turn += 1) {
      keys.past.push(maker.uuidAt(MS - 777));
      keys.now.push(turn % 2 === 0 ? maker.uuid() : maker.uuidAt(MS));
    }
    for (const made of [keys.past, keys.now]) {
      expect(made.toSorted()).toEqual(made);
      expect(new Set(made).size).toBe(made.length);
    }
  });

  test('keys of many thousand milliseconds stay unique after their counters are forgotten', () => {
    const maker = new IdMaker(() => MS, randomBytes);
    const made = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      for (let ms = 0; ms < 3_000; ms += 1) made.add(maker.uuidAt(MS + ms));
    }
    expect(made.size).toBe(9_000);
  });

  test('a counter starts anew with each millisecond, so ids do not tell how many were made', () => {
    let now = MS;
    const maker = new IdMaker(() => now, randomBytes);
    const starts = Array.from({ length: 100 }, () => {
      now += 1;
      return maker.uuid().slice(15, 18);
    });
    expect(new Set(starts).size).toBeGreaterThan(50);
  });

  test('randomness is drawn by the pool, not by the id', () => {
    const source = jest.fn<(n: number) => Uint8Array>((n) => randomBytes(n));
    const maker = new IdMaker(() => MS, source);
    for (let turn = 0; turn < 1_000; turn += 1) maker.uuid();
    expect(source).toHaveBeenCalledTimes(1);
  });

  test('a fraction of a millisecond is dropped', () => {
    expect(uuidTimeMs(new IdMaker(() => MS + 0.9, randomBytes).uuid())).toBe(MS);
  });
});
