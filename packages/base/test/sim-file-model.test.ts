import fc from "fast-check";
import { expect, it } from "vitest";
import { SECTOR_BYTES, SimFs } from "../src/testing/index.ts";

/**
 * The naive description of one file: the disk, the cache, and for each write since the last sync
 * which sectors it touched and what the whole cache was after it. Small, so that writes overlap.
 */
const SECTORS = 6;
const FILE_BYTES = SECTORS * SECTOR_BYTES;

interface Entry {
  readonly first: number;
  readonly end: number;
  readonly cache: Buffer;
  readonly size: number;
}

class Model {
  disk: Buffer = Buffer.alloc(FILE_BYTES);
  diskSize = 0;
  cache: Buffer = Buffer.alloc(FILE_BYTES);
  size = 0;
  log: Entry[] = [];

  write(bytes: Buffer, position: number): void {
    this.cache = Buffer.from(this.cache);
    bytes.copy(this.cache, position);
    this.size = Math.max(this.size, position + bytes.length);
    this.#note(position, position + bytes.length);
  }

  truncate(size: number): void {
    if (size === this.size) return;
    const end = Math.max(size, this.size);
    this.cache = Buffer.from(this.cache);
    this.cache.fill(0, size);
    const grows = size > this.size;
    this.size = size;
    this.#note(size, grows ? size : end);
  }

  sync(): void {
    this.disk = this.versions(this.log.length);
    this.disk.fill(0, this.size);
    this.diskSize = this.size;
    this.log = [];
  }

  fail(mode: "keep" | "drop" | "revert"): void {
    this.log = [];
    if (mode === "keep") return;
    if (mode === "revert") this.size = this.diskSize;
    const { size } = this;
    this.cache = Buffer.from(this.disk);
    this.size = this.diskSize;
    this.truncate(size);
  }

  /** The disk with each sector as after the first `count` writes. */
  versions(count: number): Buffer {
    const content = Buffer.from(this.disk);
    for (let sector = 0; sector < SECTORS; sector++) {
      const touched = this.log
        .slice(0, count)
        .findLast(({ first, end }) => first <= sector && sector < end);
      touched?.cache.copy(content, sector * SECTOR_BYTES, ...rangeOf(sector));
    }
    return content;
  }

  #note(from: number, to: number): void {
    this.log.push({
      first: Math.floor(from / SECTOR_BYTES),
      end: to > from ? Math.ceil(to / SECTOR_BYTES) : Math.floor(from / SECTOR_BYTES),
      cache: this.cache,
      size: this.size,
    });
  }
}

function rangeOf(sector: number): [number, number] {
  return [sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES];
}

/** Returns whether two contents agree in a sector, as far as the size goes. */
function agree(a: Buffer, b: Buffer, sector: number, size: number): boolean {
  const [from, to] = rangeOf(sector).map((offset) => Math.min(offset, size)) as [number, number];
  return a.subarray(from, to).equals(b.subarray(from, to));
}

/** As `toEqual`, which looks at each byte by itself. */
function expectEqual(a: Buffer, b: Buffer): void {
  expect([a.length, a.equals(b)]).toEqual([b.length, true]);
}

const sectors = Array.from({ length: SECTORS }, (_, sector) => sector);
const position = fc.oneof(
  fc.constantFrom(0, 511, 512, 1024),
  fc.integer({ min: 0, max: FILE_BYTES - 1200 }),
);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      position,
      length: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 1200 })),
      value: fc.integer({ min: 1, max: 255 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("truncate" as const), position }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("sync" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("fail" as const),
      mode: fc.constantFrom("keep" as const, "keep" as const, "drop" as const, "revert" as const),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function run(steps: readonly Step[]): { fs: SimFs; model: Model } {
  const fs = new SimFs();
  const model = new Model();
  const handle = fs.openSync("/a", "create");
  fs.syncDirSync("/");
  for (const one of steps) {
    switch (one.kind) {
      case "write": {
        const bytes = Buffer.alloc(one.length, one.value);
        handle.writeSync(bytes, one.position);
        model.write(bytes, one.position);
        break;
      }
      case "truncate":
        handle.truncateSync(one.position);
        model.truncate(one.position);
        break;
      case "sync":
        handle.syncSync();
        model.sync();
        break;
      case "fail":
        fs.failAt({ at: fs.operations + 1, error: "EIO", sync: one.mode });
        expect(() => handle.syncSync()).toThrow();
        model.fail(one.mode);
        break;
    }
    expectEqual(fs.readFile("/a"), model.cache.subarray(0, model.size));
  }
  return { fs, model };
}

it("leaves each sector at a version that it had, and the size at one between", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20, size: "max" }), fc.nat(1e6), (steps, seed) => {
      const { fs, model } = run(steps);
      const { log, size, diskSize } = model;
      const least = fs.crash({ seed, data: "none" }).readFile("/a");
      expectEqual(least, model.disk.subarray(0, diskSize));
      const most = fs.crash({ seed, data: "all" }).readFile("/a");
      expectEqual(most, model.versions(log.length).subarray(0, size));

      const sizes = [size, diskSize, ...log.map((entry) => entry.size)];
      const states = log.map((_, i) => model.versions(i + 1));
      states.unshift(model.disk);

      const any = fs.crash({ seed, data: "any" }).readFile("/a");
      expect(any.length).toBeGreaterThanOrEqual(Math.min(...sizes));
      expect(any.length).toBeLessThanOrEqual(Math.max(...sizes));
      const isMix = sectors.every((sector) =>
        states.some((state) => agree(any, state, sector, any.length)),
      );
      expect(isMix).toBe(true);

      const prefix = fs.crash({ seed, data: "prefix" }).readFile("/a");
      const fits = states.some((state, at) => {
        const next = states[at + 1] ?? state;
        return sectors.every(
          (sector) =>
            agree(prefix, state, sector, prefix.length) ||
            agree(prefix, next, sector, prefix.length),
        );
      });
      expect(fits).toBe(true);

      const whole = fs.crash({ seed, data: "prefix", torn: false }).readFile("/a");
      const isState = states.some((state, at) => {
        const after = at === 0 ? diskSize : log[at - 1]!.size;
        if (whole.length !== after && !(log.length === 0 && whole.length === size)) return false;
        return sectors.every((sector) => agree(whole, state, sector, whole.length));
      });
      expect(isState).toBe(true);
    }),
    { numRuns: 500 },
  );
});
