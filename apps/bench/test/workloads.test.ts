import { describe, expect, test } from "vitest";
import { createKeys, type KeySpec } from "../src/key-table.ts";
import { Random } from "../src/random.ts";
import { ValuePool } from "../src/value-pool.ts";
import { WORKLOAD_NAMES, workloadOf } from "../src/workloads/catalog.ts";
import { KIND, KIND_NAMES, type Op, type Records } from "../src/workloads/workload.ts";

const COUNT = 5000;
const OPS = 20_000;

interface Drawn {
  readonly shares: Readonly<Record<string, number>>;
  readonly ops: readonly Op[];
  readonly records: Records;
}

/** Runs the loads of a workload, then draws operations of one of its phases. */
function drawPhase(name: string, phase: string, seed = 1): Drawn {
  const workload = workloadOf(name);
  const sizes = { count: COUNT, ops: OPS };
  const records: Records = { count: 0, countMax: COUNT + workload.inserts(sizes) };
  const ops: Op[] = [];
  for (const plan of workload.phases(sizes)) {
    const source = plan.source(new Random(seed), records);
    const op: Op = { kind: -1, index: -1, count: 0, bytes: 0 };
    const isWanted = plan.name === phase;
    let outside = 0;
    for (let i = 0; i < (isWanted && plan.setup !== true ? OPS : plan.ops); i++) {
      source.next(op);
      if (op.index < 0 || op.index >= records.count) outside++;
      if (isWanted) ops.push({ ...op });
    }
    expect(outside).toBe(0);
    if (isWanted) break;
  }
  const shares: Record<string, number> = {};
  for (const { kind } of ops) {
    shares[KIND_NAMES[kind]!] = (shares[KIND_NAMES[kind]!] ?? 0) + 1 / ops.length;
  }
  return { shares, ops, records };
}

describe("YCSB", () => {
  test.each([
    ["ycsb-a", { read: 0.5, update: 0.5 }],
    ["ycsb-b", { read: 0.95, update: 0.05 }],
    ["ycsb-c", { read: 1 }],
    ["ycsb-d", { read: 0.95, insert: 0.05 }],
    ["ycsb-e", { scan: 0.95, insert: 0.05 }],
    ["ycsb-f", { read: 0.5, rmw: 0.5 }],
  ])("%s has the mix of the original", (name, expected) => {
    const { shares } = drawPhase(name, "run");
    expect(Object.keys(shares).sort()).toEqual(Object.keys(expected).sort());
    for (const [kind, share] of Object.entries(expected)) {
      expect(Math.abs(shares[kind]! - share)).toBeLessThan(0.015);
    }
  });

  test("inserts follow the records that were loaded, one after the other", () => {
    const { ops, records } = drawPhase("ycsb-d", "run");
    const inserted = ops.filter(({ kind }) => kind === KIND.insert).map(({ index }) => index);
    expect(inserted).toEqual(inserted.map((_, i) => COUNT + i));
    expect(records.count).toBe(COUNT + inserted.length);
  });

  test("D reads what was inserted last, E scans 1 to 100 records, each length as often", () => {
    let recent = 0;
    let reads = 0;
    let count = COUNT;
    for (const { kind, index } of drawPhase("ycsb-d", "run").ops) {
      if (kind === KIND.insert) count++;
      else {
        reads++;
        if (index >= count - 100) recent++;
      }
    }
    expect(recent / reads).toBeGreaterThan(0.5);
    const lengths = drawPhase("ycsb-e", "run")
      .ops.filter(({ kind }) => kind === KIND.scan)
      .map((op) => op.count);
    expect(Math.min(...lengths)).toBe(1);
    expect(Math.max(...lengths)).toBe(100);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(Math.abs(mean - 50.5)).toBeLessThan(1);
  });
});

describe("db_bench", () => {
  test.each([
    ["fillseq", "insert"],
    ["fillrandom", "update"],
    ["overwrite", "update"],
    ["readrandom", "read"],
    ["readmissing", "missing"],
    ["readseq", "scan"],
    ["seekrandom", "scan"],
  ])("%s consists of one kind", (name, kind) => {
    const workload = workloadOf(name);
    const records: Records = { count: 0, countMax: COUNT };
    const op: Op = { kind: -1, index: -1, count: 0, bytes: 0 };
    for (const plan of workload.phases({ count: COUNT, ops: 500 })) {
      const source = plan.source(new Random(1), records);
      for (let i = 0; i < plan.ops; i++) source.next(op);
    }
    expect(KIND_NAMES[op.kind]).toBe(kind);
    expect(op.index).toBeLessThan(COUNT);
  });

  test("readseq meets each entry once, in order", () => {
    const { ops } = drawPhase("readseq", "readseq");
    let next = 0;
    for (const { index, count } of ops.slice(0, COUNT / 1000)) {
      expect(index).toBe(next);
      next += count;
    }
    expect(next).toBe(COUNT);
  });
});

test("burst writes in bursts, drift moves, cycle swings", () => {
  const burst = drawPhase("dynamic", "burst").ops;
  expect(burst.slice(0, 2000).every(({ kind }) => kind === KIND.update)).toBe(true);
  expect(burst.slice(2000, 10_000).every(({ kind }) => kind === KIND.read)).toBe(true);
  const drift = drawPhase("dynamic", "drift").ops;
  const median = (part: readonly Op[]): number =>
    part.map(({ index }) => index).sort((a, b) => a - b)[part.length >> 1]!;
  expect(median(drift.slice(0, 2000))).toBeLessThan(COUNT * 0.25);
  const late = drift.slice(OPS * 0.7, OPS * 0.72);
  expect(Math.abs(median(late) / COUNT - 0.75)).toBeLessThan(0.15);
  const cycle = drawPhase("dynamic", "cycle").ops;
  const updates = (from: number): number =>
    cycle.slice(from, from + 1000).filter(({ kind }) => kind === KIND.update).length / 1000;
  expect(updates(OPS / 16)).toBeGreaterThan(0.85);
  expect(updates((3 * OPS) / 16)).toBeLessThan(0.15);
});

function textOf(ops: readonly Op[]): string {
  return JSON.stringify(ops);
}

test("one seed gives the same operations, another one others", () => {
  for (const name of WORKLOAD_NAMES) {
    const phase = workloadOf(name).phases({ count: COUNT, ops: OPS }).at(-1)!.name;
    const first = drawPhase(name, phase).ops;
    expect(first.length).toBe(OPS);
    expect(textOf(drawPhase(name, phase).ops)).toBe(textOf(first));
    if (!["fillseq", "readseq"].includes(name)) {
      expect(textOf(drawPhase(name, phase, 2).ops)).not.toBe(textOf(first));
    }
  }
});

describe("keys", () => {
  const spec: KeySpec = {
    kind: "synthetic",
    file: undefined,
    order: "hashed",
    bytes: 23,
    count: 20_000,
    seed: 1,
  };

  test.each([12, 16, 19, 21, 23, 40, 1024])("synthetic keys of %i bytes differ", (bytes) => {
    for (const order of ["hashed", "ordered"] as const) {
      const keys = createKeys({ ...spec, order, bytes });
      const texts = Array.from({ length: keys.count }, (_, i) => keys.at(i).toString("latin1"));
      expect(new Set(texts).size).toBe(keys.count);
      expect(texts.every((text) => text.length === bytes)).toBe(true);
      const sorted = [...texts].sort();
      if (order === "ordered") expect(texts).toEqual(sorted);
      else expect(texts).not.toEqual(sorted);
      expect([...keys.order()].slice(0, 500).map((i) => texts[i])).toEqual(sorted.slice(0, 500));
      expect(texts).not.toContain(keys.absent(7).toString("latin1"));
    }
  });

  test("a hashed key is `user` and the hash of its number, as in YCSB", () => {
    const keys = createKeys(spec);
    // FNV-1a of eight zero bytes is 0xa8c7f832281a39c5; without its sign 6284781860667377211.
    expect(keys.at(0).toString()).toBe("user6284781860667377211");
  });
});

test("values are told apart by record and revision, and compress as asked", async () => {
  const { deflateRawSync } = await import("node:zlib");
  for (const [compressible, least, most] of [
    [0, 0.95, 1.1],
    [0.5, 0.4, 0.65],
  ] as const) {
    const pool = new ValuePool({ seed: 1, valueBytesMax: 100_000, compressible });
    const value = pool.value(5, 1, 1000);
    expect(pool.is(value, 5, 1, 1000)).toBe(true);
    for (const [index, revision] of [
      [5, 2],
      [6, 1],
      [1, 5],
    ] as const) {
      expect(pool.is(value, index, revision, 1000)).toBe(false);
    }
    expect(pool.is(value.subarray(1), 5, 1, 1000)).toBe(false);
    const packed = deflateRawSync(pool.value(9, 9, 100_000)).length / 100_000;
    expect(packed).toBeGreaterThan(least);
    expect(packed).toBeLessThan(most);
  }
});
