/** Which ranges of keys locality tells apart, and when one of them pays. */
import { expect, test } from "vitest";
import { ValueLocality } from "../src/value-locality.ts";
import { emptyVersion, type TableMeta, Version } from "../src/version.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const key = (i: number): Buffer => Buffer.from(String(i).padStart(6, "0"));

function table(from: number, to: number, segments: number, bytes = 64 * KIB): TableMeta {
  const references = Array.from({ length: segments }, (_, segment) => ({
    ...{ segment: 100 + segment, count: 10, bytes: MIB },
  }));
  return {
    ...{ number: from, uid: { lo: from, hi: 1 }, keyspace: 0, bytes, entryCount: 10 },
    ...{ deleteCount: 0, shadowedCount: 0, rangeDeleteCount: 0, largestIsExclusive: false },
    ...{ smallestKey: key(from), largestKey: key(to), smallestSeq: 1, largestSeq: 9 },
    ...{ filterBits: 0, references },
  };
}

/** A version whose bottom level has these tables. */
function versionOf(tables: readonly TableMeta[], level = 2): Version {
  const empty = emptyVersion();
  const levels = Array.from({ length: level + 1 }, (_, at) => ({
    ...empty.levels[0]!,
    runs: at === level && tables.length > 0 ? [{ id: 5, tables }] : [],
  }));
  return Object.assign(Object.create(Version.prototype), empty, { levels }) as Version;
}

interface World {
  readonly version?: Version;
  readonly budget?: number;
  readonly base?: number;
  readonly room?: number;
}

function locality(world: World = {}): { of: ValueLocality; paid: () => number } {
  let paid = 0;
  const of = new ValueLocality({
    version: () => world.version ?? versionOf([table(0, 999_999, 3)]),
    budget: world.budget ?? 1,
    baseBytes: () => world.base ?? 100 * MIB,
    roomBytes: () => world.room ?? 100 * MIB,
    onPays: () => paid++,
  });
  return { of, paid: () => paid };
}

/** A batch of a scan: 200 values of 2 KiB, read one by one. */
const scatteredBytes = 400 * KIB;
const note = (of: ValueLocality, from: number, to: number): void =>
  of.note(key(from), key(to), 200, scatteredBytes, 200);

test("values that stand together, few reads, or no budget: nothing is noted", () => {
  const { of, paid } = locality();
  of.note(key(1), key(9), 100, 200 * KIB, 1);
  of.note(key(1), key(9), 100, 200 * KIB, 20);
  expect(of.choose()).toBeUndefined();
  const off = locality({ budget: 0 });
  note(off.of, 1, 9);
  expect(off.of.readsWasted).toBe(198);
  expect(off.of.choose()).toBeUndefined();
  expect([paid(), off.paid()]).toEqual([0, 0]);
});

test("a range that pays is chosen with the table that holds it, and forgotten once begun", () => {
  const { of, paid } = locality();
  // Backward as well.
  note(of, 900, 100);
  expect(paid()).toBe(1);
  const plan = of.choose()!;
  expect(plan.rewrite).toMatchObject({
    from: new Uint8Array(key(100)),
    to: new Uint8Array(key(900)),
  });
  expect(plan.inputs).toEqual([{ level: 2, tables: [0] }]);
  of.noteBegun();
  expect(of.choose()).toBeUndefined();
  of.noteBegun();
  of.noteRewritten(5);
  expect(of.rewrittenBytes).toBe(5);
});

test("batches of one scan are one range; a scan elsewhere is another one", () => {
  const { of } = locality();
  note(of, 100, 200);
  note(of, 201, 300);
  note(of, 301, 400);
  expect(of.choose()!.rewrite.to).toEqual(new Uint8Array(key(400)));
  // A batch in order ends the scan: what comes is a range of its own, or one that it meets.
  of.note(key(1), key(9), 100, 200 * KIB, 1);
  note(of, 5000, 5100);
  note(of, 5200, 5100);
  note(of, 50, 40);
  note(of, 150, 160);
  const seen = new Set<string>();
  for (let plan = of.choose(); plan !== undefined; plan = of.choose()) {
    seen.add(`${Number(Buffer.from(plan.rewrite.from).toString())}`);
    of.noteBegun();
  }
  expect(seen.size).toBeGreaterThanOrEqual(2);
});

test("more ranges than are told apart become neighbours joined", () => {
  const { of } = locality();
  for (let i = 0; i < 60; i++) {
    // A batch in order ends the scan.
    note(of, ((i * 37) % 60) * 1000, ((i * 37) % 60) * 1000 + 500);
    of.note(key(1), key(9), 100, 200 * KIB, 1);
  }
  let ranges = 0;
  let last = "";
  const bounds: [string, string][] = [];
  while (of.choose() !== undefined) {
    const { from, to } = of.choose()!.rewrite;
    bounds.push([Buffer.from(from).toString(), Buffer.from(to).toString()]);
    of.noteBegun();
    ranges++;
  }
  expect(ranges).toBeGreaterThan(3);
  expect(ranges).toBeLessThanOrEqual(32);
  for (const [from, to] of bounds.sort()) {
    expect(from > last).toBe(true);
    expect(to >= from).toBe(true);
    last = to;
  }
});

test("nothing pays without room, without values in the table, or when the table is too large", () => {
  for (const world of [
    { room: 1000 },
    { base: 1000 },
    { version: versionOf([]) },
    { version: versionOf([table(0, 999_999, 0)]) },
    { version: versionOf([table(5000, 6000, 3)]) },
    { version: versionOf([table(0, 999_999, 3, 64 * MIB)]) },
    { version: versionOf([table(0, 999_999, 3)], 0) },
  ]) {
    const { of, paid } = locality(world);
    note(of, 100, 900);
    expect(of.choose()).toBeUndefined();
    expect(paid()).toBe(0);
  }
  const { of } = locality();
  of.note(key(1), key(9), 10, 20 * KIB, 10);
  // Too little to be worth a merge.
  expect(of.choose()).toBeUndefined();
});
