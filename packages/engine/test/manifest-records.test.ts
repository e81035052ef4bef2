/**
 * Manifests that say what is not so, or what this build does not know: what may be passed over is,
 * anything else is refused with the files as they were, and `verify` and `repair` agree.
 */
import { SimFs, simRuntime } from "@aura/base/testing";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { VersionEdit } from "../src/edit.ts";
import { AuraDB, repair, type Settings } from "../src/index.ts";
import type { TableMeta } from "../src/version.ts";
import {
  type ManifestRecord,
  manifestPath,
  readRecords,
  writeRecords,
} from "./support/manifest-records.ts";

const directory = "/db";
const settings: Settings = { seed: 3, valueLog: { separationThreshold: 100 } };
const runtime = simRuntime(4);

let whole: SimFs;
let fs: SimFs;
let path: string;
let edits: VersionEdit[];

/** A database that was closed: one table, values apart, and a manifest of a snapshot and edits. */
beforeAll(async () => {
  whole = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs: whole, runtime });
  for (let i = 0; i < 40; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(i % 4 === 0 ? 30 : 1));
  await db.flush();
  db.putSync("key 1", "again");
  await db.flush();
  await db.compact();
  await db.idle();
  await db.close();
});
beforeEach(() => {
  fs = whole.processKill();
  path = manifestPath(fs, directory);
  edits = readRecords(fs, path);
});

const components = (): { fs: SimFs; runtime: typeof runtime } => ({ fs, runtime });

function contents(): Map<string, string> {
  const files = fs.list(directory).filter((name) => !name.endsWith("/LOCK"));
  return new Map(files.map((name) => [name, fs.readFile(name).toString("latin1")]));
}

async function countKeys(): Promise<number> {
  const db = await AuraDB.open(directory, settings, components());
  const { length } = [...db.keysSync()];
  await db.close();
  return length;
}

async function problems(): Promise<string> {
  try {
    const report = await AuraDB.verify(directory, components());
    return report.problems.join("\n");
  } catch (error) {
    return String(error);
  }
}

/** Expects that an open is refused and has changed nothing, and that verify says why as well. */
async function expectRefused(code: string, why: RegExp): Promise<void> {
  const before = contents();
  await expect(AuraDB.open(directory, settings, components())).rejects.toMatchObject({ code });
  expect(contents()).toEqual(before);
  expect(fs.openPaths()).toEqual([]);
  expect(await problems()).toMatch(why);
  expect(contents()).toEqual(before);
}

test("written again as it was, it is as good as before", async () => {
  expect(edits.length).toBeGreaterThan(3);
  writeRecords(fs, path, edits);
  expect(await problems()).toBe("");
  expect(await countKeys()).toBe(40);
});

describe("records of later builds", () => {
  const later = (recordClass: number): ManifestRecord => ({
    recordClass,
    body: Buffer.from("what a later build has to say"),
  });

  test("that may be skipped are", async () => {
    writeRecords(fs, path, [edits[0]!, later(0x80), ...edits.slice(1), later(0xff)]);
    expect(await problems()).toBe("");
    expect(await countKeys()).toBe(40);
  });

  test("that may not are refused, the files untouched", async () => {
    writeRecords(fs, path, [...edits.slice(0, 2), later(0x7f), ...edits.slice(2)]);
    await expectRefused("AURA_UNSUPPORTED", /unknown record class 127/);
  });

  test("repair passes over what may be skipped, and refuses what may not, the files untouched", async () => {
    // The manifest that CURRENT names is gone from it: then repair looks for the newest.
    writeRecords(fs, path, [edits[0]!, later(0x80), ...edits.slice(1), later(0x7f)]);
    fs.unlinkSync(`${directory}/CURRENT`);
    const before = contents();
    await expect(repair(directory, components())).rejects.toMatchObject({
      code: "AURA_UNSUPPORTED",
    });
    expect(contents()).toEqual(before);
    writeRecords(fs, path, [edits[0]!, later(0x80), ...edits.slice(1)]);
    const report = await repair(directory, components());
    expect(report.problems).toEqual([]);
    expect(await countKeys()).toBe(40);
  });
});

test("a record that does not follow the one before it is damage; repair keeps what is before it", async () => {
  const voids = [{ first: 900, last: 903 }];
  const padded = [...edits, { ...edits.at(-1)!, voids, logs: [] }, { ...edits.at(-1)! }];
  writeRecords(fs, path, padded, padded.length - 1);
  await expectRefused("AURA_CORRUPTION", /broken chain of edits/);
  fs.unlinkSync(`${directory}/CURRENT`);
  const report = await repair(directory, components());
  expect(report.problems).toEqual([]);
  expect(await countKeys()).toBe(40);
});

test("an edit that removes what is not there does not fit", async () => {
  const removed = [{ level: 3, number: 77_777 }];
  writeRecords(fs, path, [...edits, { ...edits.at(-1)!, removed }]);
  await expectRefused("AURA_CORRUPTION", /does not fit/);
});

describe("a table of which the manifest says what is not so is found by verify", () => {
  /** Changes what the last edit that adds the table says of it. */
  function withTable(change: (table: TableMeta) => Partial<TableMeta>): void {
    const at = edits.findLastIndex(({ added }) => added !== undefined && added.length > 0);
    const edit = edits[at]!;
    const added = edit.added!.map((one) => ({
      ...one,
      table: { ...one.table, ...change(one.table) },
    }));
    writeRecords(fs, path, [...edits.slice(0, at), { ...edit, added }, ...edits.slice(at + 1)]);
  }

  test.each<[string, (table: TableMeta) => Partial<TableMeta>, RegExp]>([
    ["entries", ({ entryCount }) => ({ entryCount: entryCount + 1 }), /entries instead of/],
    ["first sequence", ({ largestSeq }) => ({ smallestSeq: largestSeq }), /out of its range/],
    ["last sequence", ({ smallestSeq }) => ({ largestSeq: smallestSeq }), /out of its range/],
    ["size", ({ bytes }) => ({ bytes: bytes + 1 }), /\d+ bytes instead of \d+/],
    [
      "counts of references",
      ({ references }) => ({
        references: references.map((one) => ({ ...one, count: one.count + 1 })),
      }),
      /references to segment \d+ differ|count/,
    ],
    [
      "sizes of references",
      ({ references }) => ({
        references: references.map((one) => ({ ...one, bytes: one.bytes - 1 })),
      }),
      /references to segment \d+ differ/,
    ],
    ["references", () => ({ references: [] }), /references not declared/],
  ])("%s", async (_what, change, why) => {
    withTable(change);
    expect(await problems()).toMatch(why);
  });
});

test("a segment that tables refer to and the manifest does not know is found by verify", async () => {
  const segments = new Set(
    edits.flatMap(({ segmentChanges = [] }) => segmentChanges.map((c) => c.number)),
  );
  expect(segments.size).toBeGreaterThan(0);
  const last = { ...edits.at(-1)!, segmentsRemoved: [...segments] };
  writeRecords(fs, path, [...edits.slice(0, -1), last]);
  expect(await problems()).toMatch(/referred to but not in the manifest|segment/);
});
