/**
 * The merge job against a naive one: random tables with ranges of every kind, small blocks so that
 * every way to carry entries over is taken, and faults in each of its operations.
 */
import { Codec, compareKeys, hashKey, hashReady, Kind, SEQ_MAX, SeededRandom } from "@aura/base";
import { type SimCall, SimFs } from "@aura/base/testing";
import { Table } from "@aura/sst";
import { encodePointer, POINTER_BYTES, recordBytes } from "@aura/vlog";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type MergeInput, type MergeOutput, mergeJob } from "../src/jobs/merge.ts";
import type { ScanRange } from "../src/jobs/run-scan.ts";
import { OutputNumbers, TableOutput, type TableOutputSettings } from "../src/jobs/table-output.ts";
import type { TableMeta } from "../src/version.ts";
import { codecHere } from "./support/codecs-here.ts";

const PACKED = Codec[codecHere("lz4")];

interface Entry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly tag: number;
  readonly value: Uint8Array;
}

const directory = "/db";
const HASH_SEED = 9;
const SEGMENTS = [3, 4];

beforeAll(() => hashReady());

function settingsOf(firstNumber: number, given: Partial<TableOutputSettings>): TableOutputSettings {
  return {
    directory,
    databaseUuid: new Uint8Array(16).fill(1),
    hashSeed: HASH_SEED,
    blockBytes: 256,
    codec: Codec.none,
    valueCodec: Codec.none,
    bloomBitsPerKey: 10,
    learnedIndex: true,
    tableBytesMax: 4096,
    segmentBytesMax: 1 << 20,
    firstNumber,
    numberCount: 500,
    uidSeed: firstNumber,
    ...given,
  };
}

function writeRun(
  fs: SimFs,
  entries: readonly Entry[],
  settings: TableOutputSettings,
): TableMeta[] {
  const output = new TableOutput(fs, settings, new OutputNumbers(settings));
  for (const { key, seq, tag, value } of entries) {
    output.add(key, 0, key.length, seq, tag, value, 0, value.length);
    if (tag !== Kind.pointer) continue;
    const stored = value[10]! | (value[11]! << 8);
    output.noteReference(value[0]!, recordBytes(key.length, stored));
  }
  return output.finishSync();
}

function readTables(fs: SimFs, tables: readonly TableMeta[]): Entry[] {
  const entries: Entry[] = [];
  for (const { number, uid } of tables) {
    const table = Table.openSync(fs, {
      path: `${directory}/${String(number).padStart(6, "0")}.sst`,
      number,
      uid,
      databaseUuid: new Uint8Array(16).fill(1),
      hashSeed: HASH_SEED,
    });
    table.verifySync();
    const cursor = table.cursor({ mayRead: true });
    for (cursor.first(); cursor.valid; cursor.next()) {
      const key = cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
      const value = cursor.valueBytes.slice(cursor.valueStart, cursor.valueEnd);
      expect(table.mayHave(hashKey(key, 0, key.length, HASH_SEED))).toBe(true);
      entries.push({ key, seq: cursor.seq, tag: cursor.tag, value });
    }
    cursor.close();
    table.closeSync();
  }
  return entries;
}

function inOrder(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => compareKeys(a.key, b.key) || b.seq - a.seq);
}

/** What a merge has to leave, by the definition: what some snapshot or the newest reader sees. */
function naive(
  all: readonly Entry[],
  snapshots: readonly number[],
  older: MergeInput["older"],
): Entry[] {
  const kept: Entry[] = [];
  const readers = [...snapshots, SEQ_MAX];
  const sorted = inOrder(all);
  for (let i = 0; i < sorted.length; ) {
    let end = i + 1;
    while (end < sorted.length && compareKeys(sorted[end]!.key, sorted[i]!.key) === 0) end++;
    const versions = sorted.slice(i, end);
    i = end;
    const seen = new Set(
      readers.map((seq) => versions.find((version) => version.seq <= seq)).filter(Boolean),
    );
    for (const version of versions) {
      if (!seen.has(version)) continue;
      const oldest = snapshots.length === 0 || version.seq <= snapshots[0]!;
      const mayLieBelow = older.some((run) =>
        run.some(
          ({ smallestKey, largestKey }) =>
            compareKeys(smallestKey, version.key) <= 0 && compareKeys(version.key, largestKey) <= 0,
        ),
      );
      if (version.tag === Kind.delete && oldest && !mayLieBelow) continue;
      kept.push(version);
    }
  }
  return kept;
}

type Pattern = "random" | "stretches" | "apart" | "hot" | "long";

/** Keys of a run, ascending, without equal ones. */
function keysOf(pattern: Pattern, run: number, count: number, random: SeededRandom): Uint8Array[] {
  const numbers = new Set<number>();
  while (numbers.size < count) {
    const n = numbers.size;
    if (pattern === "random" || pattern === "long") numbers.add(random.below(count * 6));
    else if (pattern === "stretches") {
      const stretch = Math.floor(n / 40);
      numbers.add((stretch * 4 + run) * 40 + (n % 40));
    } else if (pattern === "apart") numbers.add(run * 10_000 + n);
    else numbers.add(random.below(count + 3));
  }
  return [...numbers].map((n) => keyOf(pattern, n)).sort(compareKeys);
}

function keyOf(pattern: Pattern, n: number): Uint8Array {
  // Long keys that are equal for longer than order heads reach, keys that end early, empty ones.
  if (pattern === "long") return Buffer.from(`a/very/long/prefix/${"x".repeat(n % 19)}${n}`);
  if (pattern === "hot") return Buffer.from(n === 0 ? "" : n.toString(3));
  return Buffer.from(`key${String(n).padStart(9, "0")}`);
}

interface Scenario {
  readonly seed: number;
  readonly pattern: Pattern;
  readonly runs: number;
  readonly count: number;
  /** Of a hundred entries. */
  readonly deletes: number;
  readonly pointers: number;
  readonly versions: number;
  readonly valueBytes: number;
  readonly snapshots: number;
  readonly blockBytes: number;
  readonly codec: Codec;
  readonly inputCodec: Codec;
  readonly older: boolean;
  readonly cuts: number;
}

const scenario: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.nat(),
  pattern: fc.constantFrom<Pattern>("random", "stretches", "apart", "hot", "long"),
  runs: fc.integer({ min: 1, max: 5 }),
  count: fc.integer({ min: 1, max: 260 }),
  deletes: fc.constantFrom(0, 0, 5, 50),
  pointers: fc.constantFrom(0, 0, 40, 100),
  versions: fc.constantFrom(1, 1, 3, 40),
  valueBytes: fc.constantFrom(0, 8, 60, 700),
  snapshots: fc.integer({ min: 0, max: 4 }),
  blockBytes: fc.constantFrom(64, 256, 1024),
  codec: fc.constantFrom(Codec.none, Codec.none, PACKED),
  inputCodec: fc.constantFrom(Codec.none, PACKED),
  older: fc.boolean(),
  cuts: fc.integer({ min: 0, max: 3 }),
});
interface Prepared {
  readonly fs: SimFs;
  readonly all: Entry[];
  readonly slices: TableMeta[][];
  readonly input: Omit<MergeInput, "range">;
}

function drawValue(given: Scenario, tag: number, random: SeededRandom): Uint8Array {
  if (tag === Kind.delete) return new Uint8Array(0);
  if (tag === Kind.pointer) {
    const pointer = new Uint8Array(POINTER_BYTES);
    const stored = 1 + random.below(1000);
    encodePointer(pointer, 0, SEGMENTS[random.below(2)]!, random.below(1e6), stored, stored, 0);
    return pointer;
  }
  const value = new Uint8Array(
    random.below(3) === 0 ? random.below(given.valueBytes + 1) : given.valueBytes,
  );
  return value.fill(random.below(4));
}

function prepare(given: Scenario): Prepared {
  const fs = new SimFs();
  fs.makeDirectorySync(directory);
  const random = new SeededRandom(given.seed);
  const all: Entry[] = [];
  const slices: TableMeta[][] = [];
  let seq = 1;
  // The oldest run first: sequence numbers of a key only fall along the read order.
  for (let run = given.runs - 1; run >= 0; run--) {
    const entries: Entry[] = [];
    for (const key of keysOf(given.pattern, run, given.count, random)) {
      const versions = random.below(4) === 0 ? given.versions : 1;
      for (let i = 0; i < versions; i++) {
        let tag: number = random.below(100) < given.pointers ? Kind.pointer : Kind.value;
        if (random.below(100) < given.deletes) tag = Kind.delete;
        seq += 1 + random.below(3);
        entries.push({ key, seq, tag, value: drawValue(given, tag, random) });
      }
    }
    const { blockBytes, inputCodec: codec } = given;
    const settings = settingsOf(run * 1000 + 1, { blockBytes, codec, tableBytesMax: 3000 });
    slices.unshift(writeRun(fs, inOrder(entries), settings));
    all.push(...entries);
  }
  const snapshots = Array.from({ length: given.snapshots }, () => random.below(seq + 2));
  snapshots.sort((a, b) => a - b);
  const bound = (n: number): Uint8Array => keyOf(given.pattern, n);
  const bounds = [bound(0), bound(given.count >> 1)].sort(compareKeys);
  const older = given.older
    ? [[{ smallestKey: bounds[0]!, largestKey: bounds[1]!, largestIsExclusive: false }]]
    : [];
  const { blockBytes, codec } = given;
  return {
    fs,
    all,
    slices,
    input: {
      slices,
      older,
      output: settingsOf(10_001, { blockBytes, codec }),
      snapshots,
      drain: [],
      segmentKinds: SEGMENTS.map((number) => [number, "vlog"] as const),
    },
  };
}

function run(fs: SimFs, input: MergeInput): MergeOutput {
  const job = mergeJob(input, { fs, isCancelled: () => false });
  for (;;) {
    const step = job.next();
    if (step.done === true) return step.value;
  }
}

/** Ranges that cut the keys of a scenario at some of its keys, and between them. */
function rangesOf(given: Scenario, all: readonly Entry[]): ScanRange[] {
  const random = new SeededRandom(given.seed + 1);
  const cuts = Array.from({ length: given.cuts }, () => {
    const { key } = all[random.below(all.length)]!;
    return random.below(2) === 0 ? key : Buffer.concat([key, Buffer.from([0])]);
  }).sort(compareKeys);
  const bounds = [undefined, ...cuts, undefined];
  return bounds.slice(1).map((to, i) => ({ from: bounds[i], to }));
}

function plain(entries: readonly Entry[]): string[] {
  return entries.map(({ key, seq, tag, value }) => {
    return `${Buffer.from(key).toString("hex")} ${seq} ${tag} ${Buffer.from(value).toString("hex")}`;
  });
}

/** Records and bytes that pointers lead to, by segment. */
function references(entries: readonly Entry[]): Record<number, [count: number, bytes: number]> {
  const sums: Record<number, [number, number]> = {};
  for (const { key, tag, value } of entries) {
    if (tag !== Kind.pointer) continue;
    const sum = sums[value[0]!] ?? [0, 0];
    sums[value[0]!] = sum;
    sum[0]++;
    sum[1] += recordBytes(key.length, value[10]! | (value[11]! << 8));
  }
  return sums;
}

describe("the merge job", () => {
  it("leaves what a naive merge leaves, in one part and in several", () => {
    fc.assert(
      fc.property(scenario, (given) => {
        const { fs, all, input } = prepare(given);
        const expected = naive(all, input.snapshots, input.older);
        const ranges = given.cuts === 0 ? [undefined] : rangesOf(given, all);
        const outputs = ranges.map((range, i) => {
          const output = { ...input.output, firstNumber: 10_001 + i * 1000, uidSeed: i };
          return run(fs, range === undefined ? { ...input, output } : { ...input, output, range });
        });
        const tables = outputs.flatMap((output) => output.tables);
        const written = readTables(fs, tables);
        expect(plain(written)).toEqual(plain(expected));
        expect(outputs.reduce((sum, { entriesRead }) => sum + entriesRead, 0)).toBe(all.length);
        expect(tables.reduce((sum, table) => sum + table.entryCount, 0)).toBe(expected.length);
        // Tables of a run never share a user key.
        for (let i = 1; i < tables.length; i++) {
          expect(compareKeys(tables[i - 1]!.largestKey, tables[i]!.smallestKey)).toBeLessThan(0);
        }
        const held: Record<number, [number, number]> = {};
        for (const { segment, count, bytes } of tables.flatMap((table) => table.references)) {
          const [heldCount, heldBytes] = held[segment] ?? [0, 0];
          held[segment] = [heldCount + count, heldBytes + bytes];
        }
        expect(held).toEqual(references(expected));
        const before = references(all);
        const dead = outputs.flatMap((output) => output.segmentChanges);
        for (const segment of SEGMENTS) {
          const [count, bytes] = before[segment] ?? [0, 0];
          const [liveCount, liveBytes] = held[segment] ?? [0, 0];
          const own = dead.filter(({ number }) => number === segment);
          expect(own.reduce((sum, { deadCount }) => sum + deadCount, 0)).toBe(count - liveCount);
          expect(own.reduce((sum, { deadBytes }) => sum + deadBytes, 0)).toBe(bytes - liveBytes);
        }
        const shadowed = tables.reduce((sum, table) => sum + table.shadowedCount, 0);
        const newest = new Set(inOrder(all).map(({ key }) => Buffer.from(key).toString("hex")));
        expect(shadowed).toBeLessThanOrEqual(expected.length);
        expect(expected.length - shadowed).toBeLessThanOrEqual(newest.size);
      }),
      { numRuns: 250 },
    );
  }, 60_000);

  it("copies blocks as they are where inputs do not interleave, and says the same", () => {
    for (const codec of [Codec.none, PACKED]) {
      const { fs, all, input } = prepare({
        seed: 5,
        pattern: "stretches",
        runs: 2,
        count: 2000,
        deletes: 0,
        pointers: 0,
        versions: 1,
        valueBytes: 60,
        snapshots: 0,
        blockBytes: 512,
        codec,
        inputCodec: codec,
        older: false,
        cuts: 0,
      });
      const output = { ...input.output, tableBytesMax: 20_000 };
      expect(plain(readTables(fs, run(fs, { ...input, output }).tables))).toEqual(
        plain(inOrder(all)),
      );
    }
  });

  it("refuses an input that lost entries", () => {
    const { fs, input } = prepare({ ...small, seed: 8 });
    const [first, ...rest] = input.slices[0]!;
    const slices = [[{ ...first!, entryCount: first!.entryCount + 1 }, ...rest]];
    expect(() => run(fs, { ...input, slices })).toThrow(/another number of entries/);
  });

  it("leaves no file behind when one of its operations fails, and works when tried again", () => {
    const kinds: SimCall[] = ["write", "sync", "create", "syncDir", "open", "read"];
    for (const kind of kinds) {
      for (let nth = 1; ; nth++) {
        const { fs, all, input } = prepare(small);
        const before = fs.listSync(directory);
        let calls = 0;
        const fault = fs.failAt({ at: (call) => call === kind && ++calls === nth, error: "EIO" });
        let failed = false;
        try {
          run(fs, input);
        } catch (error) {
          failed = true;
          expect((error as { code?: string }).code).toBe("AURA_IO");
        }
        fault.remove();
        if (fault.fired === 0) break;
        expect(failed).toBe(true);
        expect(fs.listSync(directory)).toEqual(before);
        const again = { ...input, output: { ...input.output, firstNumber: 20_001, uidSeed: 77 } };
        const { tables } = run(fs, again);
        expect(plain(readTables(fs, tables))).toEqual(plain(naive(all, input.snapshots, [])));
      }
    }
  }, 60_000);
});

const small: Scenario = {
  seed: 3,
  pattern: "random",
  runs: 3,
  count: 60,
  deletes: 5,
  pointers: 20,
  versions: 3,
  valueBytes: 60,
  snapshots: 1,
  blockBytes: 256,
  codec: Codec.none,
  inputCodec: Codec.none,
  older: false,
  cuts: 0,
};
