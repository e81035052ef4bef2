/**
 * Files of a later build in a database of this one (docs/formats/README.md). A table or segment that the
 * manifest lists: only reads that need it are refused, merges and garbage collection go on around it, and
 * nothing writes it anew or removes it. A log, manifest or CURRENT: open refuses, when asked to salvage
 * too. Repair refuses each, and changes nothing. With the build that knows it, everything is there again.
 */
import { FORMAT_VERSION, putU32, xxh32 } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { filePath } from "../src/file-names.ts";
import { AuraDB, repair, type Settings } from "../src/index.ts";
import { readManifest } from "../src/manifest.ts";
import { bounded } from "./support/fault-run.ts";

const directory = "/db";
const settings: Settings = {
  seed: 5,
  valueLog: { separationThreshold: 100, maxSegmentSize: 65536, spaceAmplificationMax: 1.05 },
  memtable: { maxSize: 262144 },
  table: { maxSize: 16384, blockSize: 512, compression: "none" },
  compaction: { l0Trigger: 2, baseLevelSize: 65536, fanout: 2 },
  cache: { capacity: 0 },
};

type State = Map<string, string>;

const keyOf = (i: number): string => `key ${String(i).padStart(4, "0")}`;
const textOf = (i: number, stamp: string): string =>
  `${stamp} ${i} `.padEnd(i % 5 === 0 ? 1500 : 30, `${stamp}${i * 7919}`);

/** Puts every `step`th key. */
function put(db: AuraDB, state: State, step: number, stamp: string): void {
  for (let i = 0; i < 600; i += step) {
    state.set(keyOf(i), textOf(i, stamp));
    db.putSync(keyOf(i), textOf(i, stamp));
  }
}

async function open(fs: SimFs, more: Settings = {}): Promise<{ db: AuraDB; runtime: SimRuntime }> {
  const runtime = simRuntime(3);
  const db = await AuraDB.open(directory, { ...settings, ...more }, { fs, runtime });
  return { db, runtime };
}

/** What makes a header that of a later build. */
const LATER: Readonly<Record<string, (header: Buffer) => void>> = {
  "a feature bit": (header) => putU32(header, 8, 1),
  "the next version": (header) => {
    header[5] = FORMAT_VERSION + 1;
  },
};

function asLater(whole: Buffer, change: (header: Buffer) => void): Buffer {
  const bytes = Buffer.from(whole);
  change(bytes);
  putU32(bytes, 60, xxh32(bytes, 0, 60, 0));
  return bytes;
}

/** Closed: all in tables and segments. Killed: the last writes in logs. */
let closed: SimFs;
let killed: SimFs;
let state: State;

/** Paths of the tables of a database, and of its sealed segments with live values. */
function listed(fs: SimFs): string[] {
  const { version } = readManifest(fs, directory)!;
  const segments = [...version.segments.values()].filter(
    ({ fileBytes, totalCount, deadCount }) => fileBytes > 0 && totalCount > deadCount,
  );
  return [
    ...[...version.tables()].map(({ number }) => filePath(directory, number, "sst")),
    ...segments.map(({ number, kind }) => filePath(directory, number, kind)),
  ];
}

beforeAll(async () => {
  const fs = new SimFs();
  state = new Map();
  const quiet = { ...settings.compaction, automatic: false };
  const { db, runtime } = await open(fs, { compaction: quiet });
  put(db, state, 1, "a");
  await bounded("flush", db.flush(), runtime);
  put(db, state, 3, "b");
  await bounded("compact", db.compact(), runtime);
  put(db, state, 4, "c");
  await bounded("flush", db.flush(), runtime);
  closed = fs.processKill();
  put(db, new Map(), 4, "d");
  killed = fs.processKill();
  await bounded("close", db.close(), runtime);
});

function contents(fs: SimFs): Map<string, string> {
  const files = fs.list(directory).filter((path) => !/\/(LOCK|BALLAST)$/.test(path));
  return new Map(files.map((path) => [path, fs.readFile(path).toString("latin1")]));
}

/** Reads every key and both ways through all: right, or refused as of a later build. Counts the latter. */
function readAll(db: AuraDB, expected: State): number {
  let refused = 0;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      expect(error).toMatchObject({ code: "AURA_UNSUPPORTED" });
      refused++;
    }
  };
  for (const [key, value] of expected) {
    let found: string | undefined;
    attempt(() => {
      found = db.getSync(key)?.toString();
      if (found !== value) expect(found, key).toBe(value);
    });
  }
  for (const reverse of [false, true]) {
    const wanted = [...expected].sort(([a], [b]) => (a < b !== reverse ? -1 : 1));
    let at = 0;
    attempt(() => {
      for (const [key, value] of db.scanSync({ reverse })) {
        const isRight = key.toString() === wanted[at]![0] && value.toString() === wanted[at]![1];
        if (!isRight) expect([key.toString(), value.toString()]).toEqual(wanted[at]);
        at++;
      }
      expect(at).toBe(wanted.length);
    });
  }
  return refused;
}

const runtime = (): SimRuntime => simRuntime(4, { autoAdvance: true });

/** Each of them is refused, and leaves all files as they are. */
async function expectRefused(
  fs: SimFs,
  path: string,
  attempts: readonly (() => Promise<unknown>)[],
): Promise<void> {
  const before = contents(fs);
  for (const attempt of attempts) {
    await expect(attempt(), path).rejects.toMatchObject({ code: "AURA_UNSUPPORTED" });
    expect(contents(fs), path).toEqual(before);
    expect(fs.openPaths()).toEqual([]);
  }
}

const repaired = (fs: SimFs) => (): Promise<unknown> =>
  repair(directory, { fs, runtime: runtime() });

test("a table or a segment of a later build: all else goes on, and the file stays", async () => {
  const kinds = new Set<string>();
  let met = 0;
  let merges = 0;
  const ways = Object.keys(LATER);
  for (const [i, path] of listed(closed).entries()) {
    const what = ways[i % ways.length]!;
    kinds.add(path.replace(/^.*\./, ""));
    const fs = closed.processKill();
    const whole = fs.readFile(path);
    const later = asLater(whole, LATER[what]!);
    fs.writeFile(path, later);
    const expectThere = (when: string): void => {
      const isThere = fs.existsSync(path) && fs.readFile(path).equals(later);
      expect(isThere, `${path} ${when}`).toBe(true);
    };
    const before = contents(fs);
    const { problems } = await AuraDB.verify(directory, { fs, runtime: simRuntime(3) });
    expect(problems.some((problem) => problem.includes("not known to this build"))).toBe(true);
    expect(contents(fs)).toEqual(before);
    await expectRefused(fs, path, [repaired(fs)]);

    const expected = new Map(state);
    const first = await open(fs);
    const errors: Error[] = [];
    first.db.events.on("backgroundError", ({ error }) => errors.push(error));
    expect(readAll(first.db, expected), path).toBeGreaterThan(0);
    for (const stamp of ["d", "e", "f"]) {
      put(first.db, expected, 6, stamp);
      await bounded("flush", first.db.flush(), first.runtime);
      await bounded("idle", first.db.idle(), first.runtime);
      expectThere(`behind flush ${stamp}`);
    }
    const compacted = await bounded("compact", first.db.compact(), first.runtime).catch(
      (error: unknown) => error,
    );
    if (compacted !== undefined) expect(compacted).toMatchObject({ code: "AURA_UNSUPPORTED" });
    await bounded("idle", first.db.idle(), first.runtime);
    expectThere("behind merges");
    // Said once by those that met it, not again and again.
    expect(errors.length, path).toBeLessThan(5);
    for (const error of errors) expect(error).toMatchObject({ code: "AURA_UNSUPPORTED" });
    const { tables, segments } = first.db.stats().damaged;
    met += tables.length + segments.length;
    merges += first.db.stats().compactions.merges;
    await bounded("close", first.db.close(), first.runtime);
    expectThere("behind the close");

    const second = await open(fs);
    readAll(second.db, expected);
    put(second.db, expected, 7, "g");
    await bounded("close", second.db.close(), second.runtime);
    expectThere("behind the second close");
    await expectRefused(fs, path, [repaired(fs)]);

    fs.writeFile(path, whole);
    const third = await open(fs);
    expect(readAll(third.db, expected), path).toBe(0);
    await bounded("close", third.db.close(), third.runtime);
    const { problems: left } = await AuraDB.verify(directory, { fs, runtime: simRuntime(3) });
    expect(left).toEqual([]);
  }
  expect([...kinds].sort()).toEqual(["seg", "sst", "vlog"]);
  // Background work met some of them, and went on with what does not lie under one.
  expect(Math.min(met, merges)).toBeGreaterThan(0);
});

describe.each(Object.keys(LATER))("%s", (what) => {
  test("in a log, the manifest or CURRENT is refused by open, salvage and repair", async () => {
    const opens =
      (fs: SimFs, more: Settings = {}) =>
      () =>
        open(fs, more);
    const paths = killed.list(directory).filter((path) => /CURRENT$|\.(manifest|wal)$/.test(path));
    const live = readManifest(killed, directory)!.version.segments;
    for (const path of killed.list(directory)) {
      const number = Number(/(\d+)\.vlog$/.exec(path)?.[1] ?? -1);
      if (number >= 0 && (live.get(number)?.fileBytes ?? 0) === 0) paths.push(path);
    }
    expect(paths.length).toBeGreaterThan(3);
    for (const path of paths) {
      const fs = killed.processKill();
      fs.writeFile(path, asLater(fs.readFile(path), LATER[what]!));
      const salvage: Settings = { wal: { recovery: "salvage" } };
      await expectRefused(fs, path, [opens(fs), opens(fs, salvage), repaired(fs)]);
    }
  });

  test("beside damage: repair refuses, and leaves nothing of what it began", async () => {
    const [table, ...others] = listed(closed);
    const later = others.at(-1)!;
    const fs = closed.processKill();
    fs.flipBits(table!, 200, 4);
    fs.writeFile(later, asLater(fs.readFile(later), LATER[what]!));
    await expectRefused(fs, later, [repaired(fs)]);
    const headless = closed.processKill();
    headless.flipBits(`${directory}/CURRENT`, 30, 4);
    const [manifest] = headless.list(directory).filter((path) => path.endsWith(".manifest"));
    headless.writeFile(manifest!, asLater(headless.readFile(manifest!), LATER[what]!));
    await expectRefused(headless, manifest!, [repaired(headless)]);
  });
});
