/** The model's side: states of a map, the keys and settings that are drawn, and how both compare. */
import type { SeededRandom } from "@aura/base";
import { expect } from "vitest";
import { type AuraDB, type DeleteRange, type Settings, WriteBatch } from "../../src/index.ts";
import { codecHere } from "./codecs-here.ts";

/** Keys as latin1 strings, whose order is the order of their bytes. */
export type State = Map<string, Buffer>;
export type Change = readonly [key: string, value: Buffer | undefined] | RangeChange;

/** A range delete: the range as the caller gives it, and which keys are in it. */
export interface RangeChange {
  readonly range: DeleteRange;
  readonly holds: (key: string) => boolean;
}

export function isRange(change: Change): change is RangeChange {
  return !Array.isArray(change);
}

export const bytesOf = (key: string): Buffer => Buffer.from(key, "latin1");
export const shown = (key: string): string =>
  key.length > 20 ? `${JSON.stringify(key.slice(0, 20))}+${key.length}` : JSON.stringify(key);

export const PREFIX: string = "shared/prefix/".repeat(20);
export const NASTY: readonly string[] = [
  "",
  "\0",
  "\0\0",
  "\0\xff",
  "\xff",
  "\xff\xff",
  "\xff\xff\xff\0",
  "\xff".repeat(300),
  "a",
  "a\0",
  "a\0\0",
  "a\xff",
  "ab",
  "abc",
  "__proto__",
  "constructor",
  "toString",
  PREFIX,
  `${PREFIX}\0`,
  `${PREFIX}a`,
  `${PREFIX}\xff`,
  "k".repeat(2000),
  "L".repeat(65535),
];

const CODECS = ["none", "lz4", "snappy", "zstd", "deflate"] as const;

/** Settings small enough that everything happens all the time. */
export function drawSettings(random: SeededRandom, threshold: number): Settings {
  return {
    seed: 1 + random.below(1000),
    maxOpenFiles: 16,
    wal: { maxFileSize: 65536, bufferedDelayMs: 1 + random.below(20) },
    valueLog: {
      separationThreshold: threshold,
      maxSegmentSize: 65536,
      spaceAmplificationMax: random.below(2) === 0 ? 1.05 : 1.3,
      compression: codecHere(CODECS[random.below(2 * CODECS.length)] ?? "none"),
    },
    memtable: { maxSize: 262144, maxCount: 2 + random.below(2) },
    table: {
      maxSize: 16384,
      blockSize: random.below(2) === 0 ? 512 : [512, 1024],
      filter: (["bloom", "ribbon", "by-level", "none"] as const)[random.below(4)]!,
      filterAllocation: random.below(2) === 0 ? "monkey" : "uniform",
      prefixBytes: random.below(3),
      dictionaryBytes: random.below(2) * 1024,
      paranoid: random.below(12) === 0,
      bloomBitsPerKey: random.below(3) === 0 ? 0 : 10,
      compression: codecHere(CODECS[random.below(2 * CODECS.length)] ?? "none"),
    },
    compaction: {
      mode: (["leveled", "tiered", "lazy-leveled"] as const)[random.below(3)]!,
      l0Trigger: 1 + random.below(3),
      baseLevelSize: 65536,
      fanout: 2 + random.below(3),
    },
    cache: { capacity: random.below(2) === 0 ? 0 : 131072 },
    learnedIndex: { modelType: random.below(3) === 0 ? "none" : "piecewise-linear" },
  };
}

/** A range to delete: mostly a small one, or nothing would be left to compare. */
export function drawRange(random: SeededRandom, now: State, drawKey: () => string): RangeChange {
  for (;;) {
    const range: { -readonly [K in keyof DeleteRange]: Buffer } = {};
    const tests: ((key: string) => boolean)[] = [];
    const [low, high] = [drawKey(), drawKey()].sort() as [string, string];
    const manner = random.below(16);
    if (manner === 0) range.prefix = bytesOf(low);
    else {
      if (manner > 1) range[manner < 12 ? "gte" : "gt"] = bytesOf(low);
      if (manner !== 2) range[manner % 3 > 0 ? "lt" : "lte"] = bytesOf(high);
    }
    if (range.prefix !== undefined) tests.push((key) => key.startsWith(low));
    if (range.gte !== undefined) tests.push((key) => key >= low);
    if (range.gt !== undefined) tests.push((key) => key > low);
    if (range.lt !== undefined) tests.push((key) => key < high);
    if (range.lte !== undefined) tests.push((key) => key <= high);
    const holds = (key: string): boolean => tests.every((test) => test(key));
    const hit = [...now.keys()].filter(holds).length;
    if (hit > now.size / 3 && random.below(8) > 0) continue;
    try {
      new WriteBatch().deleteRange(range);
    } catch {
      expect(low).toBe(high);
      continue;
    }
    return { range, holds };
  }
}

export function apply(state: State, changes: readonly Change[]): void {
  for (const change of changes) {
    if (isRange(change)) {
      for (const key of [...state.keys()]) if (change.holds(key)) state.delete(key);
      continue;
    }
    const [key, value] = change;
    if (value === undefined) state.delete(key);
    else state.set(key, value);
  }
}

export function sameStates(a: State, b: State): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key)?.equals(value) !== true) return false;
  return true;
}

export function select(
  state: State,
  holds: (key: string) => boolean,
  reverse: boolean,
): [string, Buffer][] {
  const entries = [...state].filter(([key]) => holds(key));
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return reverse ? entries.reverse() : entries;
}

export function expectSame(
  found: Buffer | undefined,
  wanted: Buffer | undefined,
  key: string,
): void {
  const same =
    found === undefined || wanted === undefined ? found === wanted : found.equals(wanted);
  if (same) return;
  const brief = (value: Buffer | undefined): string =>
    value === undefined
      ? "nothing"
      : `${value.length} bytes ..${value.toString("latin1").slice(-8)}`;
  expect.fail(`value of ${shown(key)}: ${brief(found)} instead of ${brief(wanted)}`);
}

export function expectEntries(
  found: readonly [Buffer, Buffer][],
  wanted: readonly [string, Buffer][],
): void {
  const keys = found.map(([key]) => shown(key.toString("latin1")));
  expect(keys).toEqual(wanted.map(([key]) => shown(key)));
  found.forEach(([key, value], i) => {
    if (key.toString("latin1") !== wanted[i]![0]) throw new Error("another long key");
    expectSame(value, wanted[i]![1], wanted[i]![0]);
  });
}

export function describe(range: object): string {
  return Object.entries(range)
    .map(([name, value]) =>
      value instanceof Uint8Array
        ? `${name} ${shown(Buffer.from(value).toString("latin1"))}`
        : `${name} ${name === "snapshot" ? "held" : String(value)}`,
    )
    .join(", ");
}

/** What runs went through: for the test that everything was met. */
export interface Tally {
  steps: number;
  /** Puts, deletes, range deletes, look-ups, scans and seeks. */
  operations: number;
  flushes: number;
  merges: number;
  /** Changes of the tree's shape. */
  modes: number;
  /** Levels seen with several runs, behind each merge. */
  tieredLevels: number;
  relocated: number;
  segmentsRemoved: number;
  kills: number;
  powerLosses: number;
  reopens: number;
  rangeDeletes: number;
  /** Windows after which an agent, a random one or that of the worst choices, changed the shape. */
  decisions: number;
}

export function newTally(): Tally {
  return {
    steps: 0,
    operations: 0,
    flushes: 0,
    merges: 0,
    modes: 0,
    tieredLevels: 0,
    relocated: 0,
    segmentsRemoved: 0,
    kills: 0,
    powerLosses: 0,
    reopens: 0,
    rangeDeletes: 0,
    decisions: 0,
  };
}

/** Counts the levels that have several runs; none of a database that was closed meanwhile. */
export function noteLevels(tally: Tally, db: AuraDB): void {
  if (db.closed) return;
  tally.tieredLevels += db.stats().levels.filter(({ runs }, i) => i > 0 && runs > 1).length;
}
