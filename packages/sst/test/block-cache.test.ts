import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlockCache, type CacheSpace } from "../src/index.ts";

const KIB = 1024;
const MIB = 1024 * 1024;

/** The content of a block is told by its place, so that a wrong hit shows. */
function contentOf(space: CacheSpace, block: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(space.id * 37 + block * 11);
  if (length >= 4) bytes.set([space.id, block, block >>> 8, length]);
  return bytes;
}

function insert(cache: BlockCache, space: CacheSpace, block: number, length: number): void {
  const bytes = contentOf(space, block, length);
  cache.insert(space, block, bytes, 0, bytes.length);
}

function isRight(cache: BlockCache, space: CacheSpace, block: number, length: number): boolean {
  const wanted = contentOf(space, block, length);
  return Buffer.from(cache.bytes.subarray(cache.start, cache.end)).equals(wanted);
}

test("what was inserted is found, and nothing else", () => {
  const cache = new BlockCache({ capacityBytes: MIB });
  const one = cache.openSpace();
  const two = cache.openSpace();
  insert(cache, one, 5, 1000);
  expect(cache.find(one, 5)).toBe(true);
  expect(isRight(cache, one, 5, 1000)).toBe(true);
  expect(cache.find(one, 4)).toBe(false);
  expect(cache.find(two, 5)).toBe(false);
  expect(cache.has(one, 5)).toBe(true);
  expect(cache.stats()).toMatchObject({ hits: 1, misses: 2, insertions: 1, evictions: 0 });
});

test("a block is copied: its source may change", () => {
  const cache = new BlockCache({ capacityBytes: MIB });
  const space = cache.openSpace();
  const bytes = contentOf(space, 1, 100);
  cache.insert(space, 1, bytes, 0, 100);
  bytes.fill(0);
  cache.find(space, 1);
  expect(isRight(cache, space, 1, 100)).toBe(true);
});

test.each([128 * KIB, MIB, 7 * MIB + 12_345])("memory stays within %i bytes", (capacityBytes) => {
  const cache = new BlockCache({ capacityBytes });
  const space = cache.openSpace();
  const random = new SeededRandom(capacityBytes);
  let least = Number.POSITIVE_INFINITY;
  for (let block = 0; block < 6000; block++) {
    insert(cache, space, block, 1 + random.below(5000));
    if (random.below(3) === 0) cache.find(space, random.below(block + 1));
    const { usedBytes } = cache.stats();
    expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
    if (block === 5000) least = usedBytes;
  }
  expect(least).toBeGreaterThan(capacityBytes * 0.75);
});

test("nearly all of the capacity holds blocks of the usual length", () => {
  const capacityBytes = 4 * MIB;
  const cache = new BlockCache({ capacityBytes });
  const space = cache.openSpace();
  for (let block = 0; block < 4000; block++) insert(cache, space, block, 4000);
  let held = 0;
  for (let block = 0; block < 4000; block++) held += cache.has(space, block) ? 4000 : 0;
  expect(held / capacityBytes).toBeGreaterThan(0.85);
});

test("blocks of a table that are small fill the capacity as longer ones do", () => {
  const capacityBytes = 4 * MIB;
  const cache = new BlockCache({ capacityBytes });
  const space = cache.openSpace(undefined, 16_000);
  for (let block = 0; block < 16_000; block++) insert(cache, space, block, 500);
  let held = 0;
  for (let block = 0; block < 16_000; block++) {
    if (!cache.has(space, block)) continue;
    held += 500;
    expect(cache.find(space, block)).toBe(true);
    expect(isRight(cache, space, block, 500)).toBe(true);
  }
  expect(held / capacityBytes).toBeGreaterThan(0.85);
  cache.evictTable(space.id);
  const other = cache.openSpace();
  for (let block = 0; block < 2000; block++) insert(cache, other, block, 4000);
  expect(cache.has(other, 1999)).toBe(true);
});

test("blocks far smaller than usual still stay within the capacity", () => {
  const cache = new BlockCache({ capacityBytes: 256 * KIB });
  const space = cache.openSpace();
  for (let block = 0; block < 20_000; block++) insert(cache, space, block, 8);
  expect(cache.stats().usedBytes).toBeLessThanOrEqual(256 * KIB);
  expect(cache.has(space, 19_999)).toBe(true);
});

test("a scan does not drive out what is in use", () => {
  const cache = new BlockCache({ capacityBytes: 4 * MIB });
  const hot = cache.openSpace();
  const cold = cache.openSpace();
  const hotCount = 400;
  const touch = (): number => {
    let misses = 0;
    for (let block = 0; block < hotCount; block++) {
      if (cache.find(hot, block)) continue;
      misses++;
      insert(cache, hot, block, 4000);
    }
    return misses;
  };
  for (let round = 0; round < 4; round++) touch();
  let misses = 0;
  for (let block = 0; block < 8000; block++) {
    insert(cache, cold, block, 4000);
    if (block % 200 === 199) misses += touch();
  }
  // 40 rounds of 400 look-ups beside a scan of eight times the capacity.
  expect(misses / (40 * hotCount)).toBeLessThan(0.05);
});

test("a block that comes back soon after it left goes to the main queue", () => {
  const cache = new BlockCache({ capacityBytes: MIB });
  const space = cache.openSpace();
  const cold = cache.openSpace();
  insert(cache, space, 1, 4000);
  for (let block = 0; cache.has(space, 1); block++) insert(cache, cold, block, 4000);
  insert(cache, space, 1, 4000);
  // Longer than it lasted in the small queue, and not used in between.
  for (let block = 1000; block < 1250; block++) insert(cache, cold, block, 4000);
  expect(cache.has(space, 1)).toBe(true);
});

describe("closed spaces", () => {
  test("are never a hit again, and give their memory to others", () => {
    const cache = new BlockCache({ capacityBytes: MIB });
    const dead = cache.openSpace();
    for (let block = 0; block < 240; block++) insert(cache, dead, block, 4000);
    // Used blocks end up in the main queue, where they would stay longest.
    for (let round = 0; round < 3; round++) {
      for (let block = 0; block < 240; block++) cache.find(dead, block);
    }
    for (let block = 240; block < 300; block++) insert(cache, dead, block, 4000);
    const { id } = dead;
    expect(cache.find(dead, 299)).toBe(true);
    cache.evictTable(id);
    cache.evictTable(id);
    expect(cache.find(dead, 299)).toBe(false);
    insert(cache, dead, 999, 4000);
    expect(cache.has(dead, 999)).toBe(false);
    const live = cache.openSpace();
    expect(live.id).not.toBe(id);
    for (let block = 0; block < 300; block++) {
      expect(cache.find(live, block)).toBe(false);
      insert(cache, live, block, 4000);
    }
    let held = 0;
    for (let block = 0; block < 300; block++) held += cache.has(live, block) ? 1 : 0;
    expect(held).toBeGreaterThan(150);
  });

  test("do not drive out blocks in use, wherever they lie", () => {
    const cache = new BlockCache({ capacityBytes: 16 * MIB });
    const live = cache.openSpace();
    const touch = (): number => {
      let hits = 0;
      for (let block = 0; block < 2500; block++) {
        if (cache.find(live, block)) hits++;
        else insert(cache, live, block, 4000);
      }
      return hits;
    };
    const passing = cache.openSpace();
    for (let round = 0; round < 30; round++) {
      touch();
      for (let i = 0; i < 200; i++) insert(cache, passing, round * 200 + i, 4000);
    }
    expect(touch()).toBe(2500);
    for (let round = 0; round < 20; round++) {
      const dying = cache.openSpace();
      for (let block = 0; block < 300; block++) insert(cache, dying, block, 4000);
      cache.evictTable(dying.id);
      expect(touch()).toBe(2500);
    }
  });

  test("take their held blocks with them", () => {
    const cache = new BlockCache({ capacityBytes: 0 });
    const space = cache.openSpace();
    cache.hold(space, 1, new Uint8Array(10));
    cache.evictTable(space.id);
    expect(cache.find(space, 1)).toBe(false);
    cache.hold(space, 1, new Uint8Array(10));
    expect(cache.find(space, 1)).toBe(false);
  });
});

describe("without capacity", () => {
  test("nothing is cached, and a held block is found once", () => {
    const cache = new BlockCache({ capacityBytes: 0 });
    const space = cache.openSpace();
    insert(cache, space, 1, 100);
    expect(cache.fits(1)).toBe(false);
    expect(cache.find(space, 1)).toBe(false);
    cache.hold(space, 1, contentOf(space, 1, 100));
    expect(cache.has(space, 1)).toBe(true);
    expect(cache.find(space, 1)).toBe(true);
    expect(isRight(cache, space, 1, 100)).toBe(true);
    expect(cache.find(space, 1)).toBe(false);
    expect(cache.stats().usedBytes).toBe(0);
  });

  test("a held block is found as often as was named", () => {
    const cache = new BlockCache({ capacityBytes: 0 });
    const space = cache.openSpace();
    expect(cache.keep(space, 1, 2)).toBe(false);
    cache.hold(space, 1, contentOf(space, 1, 100), 2);
    expect(cache.keep(space, 1, 1)).toBe(true);
    const found = Array.from({ length: 4 }, () => cache.findLoaded(space, 1));
    expect(found).toEqual([true, true, true, false]);
    // What was loaded for a miss is no hit.
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 0 });
  });

  test("held blocks are few, and few bytes", () => {
    const cache = new BlockCache({ capacityBytes: 0 });
    const space = cache.openSpace();
    for (let block = 0; block < 100; block++) cache.hold(space, block, new Uint8Array(10));
    expect(cache.has(space, 99)).toBe(true);
    expect(cache.has(space, 0)).toBe(false);
    cache.hold(space, 200, new Uint8Array(9 * MIB));
    expect(cache.has(space, 99)).toBe(false);
    expect(cache.has(space, 200)).toBe(true);
  });
});

test("refuses capacities that make no sense", () => {
  for (const capacityBytes of [-1, Number.NaN, 1.5, Number.POSITIVE_INFINITY]) {
    expect(() => new BlockCache({ capacityBytes })).toThrow("capacity");
  }
});

test("any mix of calls gives right content or a miss", () => {
  const call = fc.record({
    space: fc.nat(3),
    block: fc.nat(60),
    what: fc.constantFrom("insert", "insert", "find", "find", "find", "evict"),
  });
  fc.assert(
    fc.property(
      fc.array(call, { maxLength: 400 }),
      fc.constantFrom(128 * KIB, 256 * KIB),
      (calls, capacityBytes) => {
        const cache = new BlockCache({ capacityBytes });
        // Some know how many blocks they have: all of them, or a part.
        const openSpace = (at: number) => cache.openSpace(undefined, [0, 61, 30, 61][at]);
        const spaces = Array.from({ length: 4 }, (_, at) => openSpace(at));
        const lengthOf = (block: number): number => (block * 997) % 7000;
        for (const { space: at, block, what } of calls) {
          const space = spaces[at]!;
          if (what === "insert") insert(cache, space, block, lengthOf(block));
          else if (what === "find") {
            const has = cache.has(space, block);
            expect(cache.find(space, block)).toBe(has);
            if (has) expect(isRight(cache, space, block, lengthOf(block))).toBe(true);
          } else {
            cache.evictTable(space.id);
            expect(cache.find(space, block)).toBe(false);
            spaces[at] = openSpace(at);
            expect(cache.find(spaces[at]!, block)).toBe(false);
          }
        }
        expect(cache.stats().usedBytes).toBeLessThanOrEqual(capacityBytes);
      },
    ),
    { numRuns: 100 },
  );
});

describe("pinned memory", () => {
  test("takes the place of blocks, and gives it back", () => {
    const capacityBytes = 4 * MIB;
    const cache = new BlockCache({ capacityBytes });
    const space = cache.openSpace();
    const random = new SeededRandom(11);
    let pinned = 0;
    let held = 0;
    for (let step = 0; step < 6000; step++) {
      insert(cache, space, step, 1 + random.below(6000));
      if (random.below(20) === 0) {
        const bytes = random.below(capacityBytes * 0.9);
        cache.pin(bytes - pinned);
        pinned = bytes;
      }
      const block = random.below(step + 1);
      if (cache.find(space, block)) held++;
      const { usedBytes, pinnedBytes } = cache.stats();
      expect(pinnedBytes).toBe(pinned);
      expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
    }
    expect(held).toBeGreaterThan(100);
    cache.pin(-pinned);
    for (let step = 6000; step < 8000; step++) insert(cache, space, step, 3000);
    expect(cache.stats().usedBytes).toBeGreaterThan(capacityBytes * 0.8);
  });

  test("of more than the capacity leaves no block, and what is found later is right", () => {
    const cache = new BlockCache({ capacityBytes: MIB });
    const space = cache.openSpace();
    for (let block = 0; block < 300; block++) insert(cache, space, block, 4000);
    cache.pin(2 * MIB);
    expect(cache.fits(100)).toBe(false);
    for (let block = 0; block < 300; block++) expect(cache.has(space, block)).toBe(false);
    cache.pin(-2 * MIB);
    for (let block = 0; block < 300; block++) insert(cache, space, block, 3999);
    let found = 0;
    for (let block = 0; block < 300; block++) {
      if (!cache.find(space, block)) continue;
      found++;
      expect(isRight(cache, space, block, 3999)).toBe(true);
    }
    expect(found).toBeGreaterThan(180);
  });

  test("that survives growth and shrinkage keeps what is used", () => {
    const cache = new BlockCache({ capacityBytes: 4 * MIB });
    const space = cache.openSpace();
    const random = new SeededRandom(3);
    for (let round = 0; round < 400; round++) {
      cache.pin(64 * KIB);
      for (let n = 0; n < 20; n++) insert(cache, space, random.below(3000), 4000);
      for (let block = 0; block < 100; block++) {
        if (!cache.find(space, block)) insert(cache, space, block, 4000);
        else expect(isRight(cache, space, block, 4000)).toBe(true);
      }
      cache.pin(-64 * KIB + (round % 7) - 3);
      expect(cache.stats().usedBytes).toBeLessThanOrEqual(4 * MIB);
    }
  });
});
