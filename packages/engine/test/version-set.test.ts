import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emptyVersion, Version } from "../src/version.ts";
import { VersionSet } from "../src/version-set.ts";

function version(id: number): Version {
  return new Version(id, [], new Map(), 0);
}

describe("VersionSet", () => {
  test("removes a file when no older version is read and the edit is durable", () => {
    const versions = new VersionSet(emptyVersion());
    const removed: string[] = [];
    const pinned = versions.pin();
    versions.install(version(1));
    versions.obsolete("/db/1", 1, () => removed.push("/db/1"));
    expect(removed).toEqual([]);
    versions.releaseDurable(1);
    expect(removed).toEqual([]);
    expect(versions.obsoletePaths()).toEqual(["/db/1"]);
    expect(versions.oldestPinnedId).toBe(0);
    versions.unpin(pinned);
    expect(removed).toEqual(["/db/1"]);
    expect(versions.obsoletePaths()).toEqual([]);
    expect(versions.oldestPinnedId).toBe(1);
  });

  test("waits for durability when nobody reads", () => {
    const versions = new VersionSet(emptyVersion());
    let removed = 0;
    versions.install(version(1));
    versions.obsolete("/db/1", 1, () => removed++);
    versions.obsolete("/db/2", 2, () => removed++);
    versions.releaseDurable(2);
    // Version 1 is current: it still lists what leaves with version 2.
    expect(removed).toBe(1);
    versions.install(version(2));
    expect(removed).toBe(2);
  });

  test("a newer pin does not hold back a file", () => {
    const versions = new VersionSet(emptyVersion());
    let removed = 0;
    versions.install(version(1));
    versions.pin();
    versions.obsolete("/db/1", 1, () => removed++);
    versions.releaseDurable(1);
    expect(removed).toBe(1);
  });

  test("a removal may come back into the set", () => {
    const versions = new VersionSet(emptyVersion());
    const removed: string[] = [];
    versions.install(version(1));
    versions.obsolete("/db/a", 1, () => {
      versions.obsolete("/db/b", 1, () => removed.push("b"));
      versions.unpin(versions.pin());
      removed.push("a");
    });
    versions.releaseDurable(1);
    expect(removed).toEqual(["b", "a"]);
  });

  test("tells when nothing is pinned any more", async () => {
    const versions = new VersionSet(emptyVersion());
    await versions.whenUnpinned();
    const first = versions.pin();
    const second = versions.pin();
    versions.install(version(1));
    const third = versions.pin();
    expect(versions.pinCount).toBe(3);
    let quiet = false;
    const waiting = versions.whenUnpinned().then(() => {
      quiet = true;
    });
    versions.unpin(first);
    versions.unpin(third);
    await Promise.resolve();
    expect(quiet).toBe(false);
    versions.unpin(second);
    await waiting;
    expect(versions.pinCount).toBe(0);
  });

  test("refuses an unpin too many, and ids that do not grow", () => {
    const versions = new VersionSet(emptyVersion());
    versions.unpin(versions.pin());
    expect(() => versions.unpin(versions.current)).toThrow(/unpinned once/);
    expect(() => versions.install(emptyVersion())).toThrow(/grow/);
  });

  test("never removes early, and removes everything in the end, whatever the order", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = new SeededRandom(seed);
        const versions = new VersionSet(emptyVersion());
        const pins: Version[] = [];
        const waiting = new Map<string, number>();
        let durable = 0;
        let nextFile = 0;
        const isReady = (id: number): boolean =>
          id <= durable && id <= versions.current.id && pins.every((pin) => pin.id >= id);
        for (let step = 0; step < 100; step++) {
          switch (random.below(5)) {
            case 0:
              pins.push(versions.pin());
              break;
            case 1: {
              if (pins.length === 0) break;
              const [pin] = pins.splice(random.below(pins.length), 1);
              versions.unpin(pin!);
              break;
            }
            case 2: {
              const next = version(versions.current.id + 1 + random.below(2));
              versions.install(next);
              for (let i = random.below(3); i > 0; i--) {
                const path = `/db/${nextFile++}`;
                waiting.set(path, next.id);
                versions.obsolete(path, next.id, () => {
                  expect(isReady(next.id)).toBe(true);
                  expect(waiting.delete(path)).toBe(true);
                });
              }
              break;
            }
            default:
              durable = Math.max(durable, random.below(versions.current.id + 1));
              versions.releaseDurable(durable);
          }
          for (const id of waiting.values()) expect(isReady(id)).toBe(false);
          expect([...versions.obsoletePaths()]).toEqual([...waiting.keys()]);
        }
        for (const pin of pins.splice(0)) versions.unpin(pin);
        durable = versions.current.id;
        versions.releaseDurable(durable);
        expect(waiting.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
