/** Merges and flushes whose result cannot be published: it is said, tried again, and leaves no files. */
import { AuraError } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { AuraDB } from "../src/index.ts";
import { Tree, type TreeChange } from "../src/tree.ts";
import { VersionSet } from "../src/version-set.ts";
import { bounded, directory, faultSettings, fewTurns } from "./support/fault-run.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

interface World {
  readonly db: AuraDB;
  readonly fs: SimFs;
  readonly runtime: SimRuntime;
  readonly events: string[];
  readonly model: Map<string, string>;
}

/** A database with tables in the last level and one in level 0: the next flush has them merged. */
async function open(): Promise<World> {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  const events: string[] = [];
  db.events.on("backgroundError", ({ severity, activity, error }) => {
    events.push(`${severity} ${activity} ${(error as AuraError).code}`);
  });
  const world = { db, fs, runtime, events, model: new Map<string, string>() };
  for (let i = 0; i < 3; i++) {
    fill(world, i);
    await bounded("flush", db.flush(), runtime);
    await bounded("idle", db.idle(), runtime);
  }
  expect(db.stats().levels[0]!.tables).toBe(1);
  return world;
}

function fill({ db, model }: World, round: number): void {
  for (let i = 0; i < 100; i++) {
    const [key, value] = [`k${(i * 37 + round) % 300}`, `v${round} `.repeat(9)];
    db.putSync(key, value);
    model.set(key, value);
  }
}

async function pass({ runtime }: World, seconds: number): Promise<void> {
  for (let i = 0; i < seconds * 20; i++) {
    runtime.advance(50);
    await fewTurns();
  }
}

/** Tables on the disk beyond those of the tree. */
function leftovers({ db, fs }: World): number {
  const count = fs.list(directory).filter((path) => path.endsWith(".sst")).length;
  return count - db.stats().levels.reduce((sum, { tables }) => sum + tables, 0);
}

function expectAll(db: AuraDB, { model }: World): void {
  const found = new Map([...db.scanSync()].map(([key, value]) => [`${key}`, `${value}`]));
  expect(found).toEqual(new Map([...model].sort()));
}

describe("a result that the tree refuses", () => {
  /** As a manifest does whose sums are wrong, with right checksums. */
  function refuse(isRefused: (change: TreeChange) => boolean): () => number {
    const { install } = Tree.prototype;
    let count = 0;
    vi.spyOn(Tree.prototype, "install").mockImplementation(function (this: Tree, change) {
      if (!isRefused(change)) return install.call(this, change);
      count++;
      throw new AuraError("AURA_CORRUPTION", "more dead than there ever was");
    });
    return () => count;
  }

  test.each([
    ["compaction", (change: TreeChange): boolean => change.removed !== undefined],
    ["flush", (change: TreeChange): boolean => change.flushedSeq !== undefined],
  ] as const)("of a %s is said, and tried again once a second", async (activity, isRefused) => {
    const world = await open();
    const { db, runtime, events } = world;
    const refusals = refuse(isRefused);
    fill(world, 3);
    const flushed = db.flush().catch((error: AuraError) => error.code);
    await pass(world, 5);
    expect(refusals()).toBeGreaterThan(3);
    expect(refusals()).toBeLessThan(8);
    expect(events).toEqual(Array(refusals()).fill(`soft ${activity} AURA_CORRUPTION`));
    expect(await flushed).toBe(activity === "flush" ? "AURA_CORRUPTION" : undefined);
    expect(db.stats().failure).toBe(undefined);
    expect(leftovers(world)).toBe(0);
    expectAll(db, world);
    vi.restoreAllMocks();
    await pass(world, 2);
    await bounded("idle", db.idle(), runtime);
    expect(db.stats().levels[0]!.tables).toBe(0);
    expectAll(db, world);
    await bounded("close", db.close(), runtime);
  });
});

describe("a manifest that cannot be written", () => {
  const errors = ["EIO", "ENOSPC", "EMFILE"] as const;

  test.each(errors)("for a merge, %s: read-only until it is resumed", async (error) => {
    const world = await open();
    const { db, fs, runtime, events } = world;
    const isMerging = (): boolean => db.stats().levels[0]!.tables > 1;
    const planned = fs.failAt({
      error,
      sticky: true,
      at: (kind, path) =>
        isMerging() && ["write", "create"].includes(kind) && path.endsWith(".manifest"),
    });
    fill(world, 3);
    await bounded("flush", db.flush(), runtime).catch(() => undefined);
    await bounded("idle", db.idle(), runtime);
    await fewTurns();
    expect(planned.fired).toBeGreaterThan(1);
    const code = error === "ENOSPC" ? "AURA_OUT_OF_SPACE" : "AURA_IO";
    expect(events).toEqual([`hard manifest ${code}`]);
    expect(() => db.putSync("k", "v")).toThrow(expect.objectContaining({ code: "AURA_READ_ONLY" }));
    expectAll(db, world);
    planned.remove();
    await bounded("resume", db.resume(), runtime);
    await bounded("idle", db.idle(), runtime);
    expect(db.stats().levels[0]!.tables).toBe(0);
    expect(leftovers(world)).toBe(0);
    expectAll(db, world);
    await bounded("close", db.close(), runtime);
  });

  test("but may be in force: the files that it names stay until another one is", async () => {
    const world = await open();
    const { db, fs, runtime, events } = world;
    const isMerging = (): boolean => db.stats().levels[0]!.tables > 1;
    let renamed = false;
    const edit = fs.failAt({
      error: "EIO",
      at: (kind, path) => isMerging() && kind === "write" && path.endsWith(".manifest"),
    });
    // CURRENT names the next manifest by now, and nobody knows whether durably.
    const last = fs.failAt({
      error: "EIO",
      at: (kind) => {
        renamed ||= edit.fired > 0 && kind === "rename";
        return renamed && kind === "syncDir";
      },
    });
    fill(world, 3);
    await bounded("flush", db.flush(), runtime).catch(() => undefined);
    await bounded("idle", db.idle(), runtime);
    await pass(world, 2);
    expect([edit.fired, last.fired]).toEqual([1, 1]);
    expect(events).toEqual(["hard manifest AURA_IO"]);
    const killed = fs.processKill();
    const other = await AuraDB.open(directory, faultSettings, { fs: killed, runtime });
    expectAll(other, world);
    await bounded("close", other.close(), runtime);
    await bounded("resume", db.resume(), runtime);
    await bounded("idle", db.idle(), runtime);
    expect(leftovers(world)).toBe(0);
    expectAll(db, world);
    await bounded("close", db.close(), runtime);
  });
});

test("what fails behind the manifest takes none of the files that this names", async () => {
  const world = await open();
  const { db, fs, runtime, events } = world;
  const { install } = VersionSet.prototype;
  let refused = 0;
  vi.spyOn(VersionSet.prototype, "install").mockImplementation(function (
    this: VersionSet,
    version,
  ) {
    const isMerge = version.levels[0]!.runs.length < this.current.levels[0]!.runs.length;
    if (!isMerge) return install.call(this, version);
    refused++;
    throw new Error("an assertion");
  });
  fill(world, 3);
  await bounded("flush", db.flush(), runtime).catch(() => undefined);
  await bounded("idle", db.idle(), runtime);
  expect(refused).toBe(1);
  // A next edit would not fit behind that one.
  expect(events).toEqual(["hard manifest undefined"]);
  expect(() => db.putSync("k", "v")).toThrow(expect.objectContaining({ code: "AURA_READ_ONLY" }));
  vi.restoreAllMocks();
  const killed = fs.processKill();
  const other = await AuraDB.open(directory, faultSettings, { fs: killed, runtime });
  expectAll(other, world);
  await bounded("close", other.close(), runtime);
  await bounded("resume", db.resume(), runtime);
  await bounded("idle", db.idle(), runtime);
  expect(leftovers(world)).toBe(0);
  expectAll(db, world);
  await bounded("close", db.close(), runtime);
});
