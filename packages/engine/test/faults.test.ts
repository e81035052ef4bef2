/** Input and output that fails: at every operation of a short run, once and for good. */
import { hashReady } from "@aura/base";
import {
  type SimCall,
  type SimErrorName,
  type SimFault,
  SimFs,
  simRuntime,
} from "@aura/base/testing";
import { ArenaPool } from "@aura/memtable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { noteCounts } from "./support/counts.ts";
import {
  bounded,
  directory,
  faultSettings,
  fewTurns,
  judge,
  judgeAgain,
  newRun,
  script,
} from "./support/fault-run.ts";
import { expectDamage } from "./support/leaks.ts";
import {
  isSettled,
  makeStarts,
  readScript,
  runFrom,
  type Start,
} from "./support/read-fault-run.ts";

const unhandled: unknown[] = [];
const note = (error: unknown): void => {
  unhandled.push(error);
};
beforeAll(async () => {
  process.on("unhandledRejection", note);
  // The first open would wait for it in real time, of which the turns of a run know nothing.
  await hashReady();
});
afterAll(() => {
  process.off("unhandledRejection", note);
});

/**
 * Each kind of failure takes every how manieth operation. AURA_FAULT_STRIDE=1: all of them;
 * AURA_FAULT_STRIDE=10 with AURA_FAULT_OFFSET=0 to 9: all of them in ten runs.
 */
const STRIDE = Number(process.env["AURA_FAULT_STRIDE"] ?? "7");
/** Calls that change nothing are many; of some kinds there are few. */
const READ_STRIDE = Number(process.env["AURA_FAULT_STRIDE"] ?? "83");
const READ_RUNS_MIN = 6;
const OFFSET = Number(process.env["AURA_FAULT_OFFSET"] ?? "0");

const OPERATIONS = new Set([
  "write",
  "sync",
  "truncate",
  "create",
  "rename",
  "unlink",
  "link",
  "mkdir",
  "rmdir",
  "syncDir",
]);

/**
 * Failures that the engine makes good without a trace: a buffered group or a watermark that goes to
 * the next log, an edit that a new manifest repeats, an orphan that the next open removes, the
 * reserve that is made later, a log that an open writes anew.
 */
const HEALED = [
  "write BALLAST",
  "create BALLAST",
  "write wal",
  "write vlog",
  "create wal",
  "write manifest",
  "open: sync wal",
  "open: sync vlog",
  "unlink wal",
  "unlink vlog",
  "unlink sst",
  "unlink manifest",
];

/** A kind of failure. */
interface Kind {
  readonly fault: Omit<SimFault, "at">;
  /** In place of the fault's own error: these in turn, once and then for good. */
  readonly others?: readonly SimErrorName[];
  /** Only syncs of files are counted, and fail. */
  readonly isOfSyncs?: boolean;
  /** Before the next call the kernel forgets the pages that a failed sync left. */
  readonly dropsCaches?: boolean;
}

/** Counts the operations that a kind of failure can meet. */
class OperationCount {
  count = 0;
  readonly #kind: Kind;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  /** Returns whether the call is one of them. */
  take(call: SimCall): boolean {
    const { fault, isOfSyncs } = this.#kind;
    // A create that failed leaves nobody a handle, so it cannot have happened.
    const isOne =
      isOfSyncs === true
        ? call === "sync"
        : OPERATIONS.has(call) && !(fault.happened === true && call === "create");
    if (isOne) this.count++;
    return isOne;
  }
}

/** Fails what is planned, and judges what a reopen shows: at least what was vouched for. */
async function runWith(kind: Kind, at: number): Promise<number> {
  const { others = [], dropsCaches } = kind;
  const turn = Math.floor(at / STRIDE);
  const error = others[turn % others.length];
  const sticky = Math.floor(turn / others.length) % 2 === 1;
  const fault = error === undefined ? kind.fault : { ...kind.fault, error, sticky };
  const fs = new SimFs({ seed: at });
  const run = newRun(fs);
  let isDue = false;
  if (dropsCaches === true) {
    fs.failAt({
      at: () => {
        if (isDue) fs.dropCaches();
        isDue = false;
        return false;
      },
    });
  }
  const operations = new OperationCount(kind);
  const hit: string[] = [];
  const planned = fs.failAt({
    ...fault,
    at: (call, path) => {
      if (!operations.take(call)) return false;
      const { count } = operations;
      const fires = count === at || (fault.sticky === true && count > at);
      if (!fires) return false;
      isDue = true;
      const what = `${call} ${path.replace(/^.*[/.]/, "")}`;
      const isLogSync = /^sync (wal|vlog)$/.test(what);
      hit.push(isLogSync && run.db === undefined ? `open: ${what}` : what);
      if (isLogSync && fault.sync !== undefined) run.pagesLost = true;
      const isShown = fault.sync === "keep" && dropsCaches !== true;
      if (kind.isOfSyncs === true && !isShown && what === "sync manifest") {
        run.manifestLost = true;
        // The images that are judged verify; this one may not.
        expectDamage();
      }
      return true;
    },
  });
  try {
    await script(run);
    for (const { what, error } of run.errors) {
      expect((error as Error).name, `${what}: ${(error as Error).stack}`).toBe("AuraError");
      expect((error as { code: string }).code).toMatch(/^AURA_/);
    }
    // What failed once and was made good in another file needs no word; anything else does.
    if (run.errors.length === 0 && run.events.length === 0) {
      for (const what of hit) expect(HEALED).toContain(what);
    }
    const rejectedAll = run.writes.every((write) => write.outcome !== "acknowledged");
    if (!rejectedAll || run.closedCleanly.length > 0) {
      const power = fs.crash({ seed: at });
      if (isDue && dropsCaches === true) fs.dropCaches();
      fs.clearFaults();
      const acked = run.writes.findLastIndex(
        ({ outcome, level }) => outcome === "acknowledged" && level !== "buffered",
      );
      const killed = fs.processKill();
      await judge(run, killed, run.pagesLost ? run.durable : Math.max(acked + 1, run.durable));
      // The process behind a failed sync may not trust the page cache either.
      if (kind.isOfSyncs === true) await judgeAgain(run, killed);
      await judge(run, power, run.durable);
    }
    expect(new ArenaPool().stats().heldCount).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled.splice(0)).toEqual([]);
  } catch (cause) {
    fs.clearFaults();
    await run.db?.close().catch(() => undefined);
    const seen = run.errors
      .map(({ what, error }) => `${what}: ${(error as Error).message}`)
      .concat(run.events);
    const message = `${JSON.stringify(fault)} at ${at}: ${(cause as Error).message}\n${[...new Set(seen)].join("\n")}`;
    throw new Error(message, { cause });
  }
  return planned.fired;
}

/** Returns how many operations a run without failures has. */
async function countOperations(kind: Kind): Promise<number> {
  const fs = new SimFs();
  const run = newRun(fs);
  const operations = new OperationCount(kind);
  fs.failAt({ at: (call) => operations.take(call) && false });
  await script(run);
  expect(run.errors).toEqual([]);
  expect(run.events).toEqual([]);
  expect(run.closedCleanly).toEqual([true, true]);
  const { count } = operations;
  await judge(run, fs, run.writes.length);
  return count;
}

/** Runs a sweep over `total` operations; returns at how many of them something failed. */
async function sweep(
  { total, first, stride }: { total: number; first: number; stride: number },
  runAt: (at: number) => Promise<number>,
): Promise<number> {
  let fired = 0;
  const failures: string[] = [];
  for (let at = Number(process.env["AT"] ?? first); at <= total; at += stride) {
    if (process.env["AT"])
      process.stderr.write(`at ${at}/${total} ${Math.round(performance.now())}\n`);
    try {
      if ((await runAt(at)) > 0) fired++;
    } catch (error) {
      failures.push((error as Error).message);
      if (process.env["AT"]) process.stderr.write(`FAIL ${(error as Error).message}\n`);
    }
  }
  expect(
    failures.slice(0, Number(process.env["FAILURES"] ?? 3)),
    `${failures.length} failed`,
  ).toEqual([]);
  return fired;
}

const REFUSALS = ["EROFS", "EACCES", "EDQUOT", "EMFILE"] as const;

describe.each<[string, Kind]>([
  ["EIO once", { fault: { error: "EIO" } }],
  ["EIO for good", { fault: { error: "EIO", sticky: true } }],
  ["ENOSPC once", { fault: { error: "ENOSPC" } }],
  ["ENOSPC for good", { fault: { error: "ENOSPC", sticky: true } }],
  ["another refusal, once or for good", { fault: {}, others: REFUSALS }],
  ["EIO after half a write", { fault: { error: "EIO", partial: 20 } }],
  ["EIO though it happened", { fault: { error: "EIO", happened: true } }],
])("%s", (name, kind) => {
  const first = 1 + ((name.length + OFFSET) % STRIDE);
  test("at every operation", { timeout: 600_000 }, async () => {
    const total = await countOperations(kind);
    const fired = await sweep({ total, first, stride: STRIDE }, (at) => runWith(kind, at));
    noteCounts({ faults: fired });
    expect(fired).toBeGreaterThan((total / STRIDE) * 0.6);
  });
});

describe.each<[string, SimFault["sync"], boolean]>([
  ["keeps the pages as clean", "keep", false],
  ["keeps them until they are evicted", "keep", true],
  ["drops the pages", "drop", false],
  ["reverts them", "revert", false],
])("a failed sync that %s", (name, sync, dropsCaches) => {
  test.each([
    ["once", false],
    ["and every later one", true],
  ])("at every sync, %s", { timeout: 600_000 }, async (_name, sticky) => {
    // All or none of the pages may have reached the disk all the same, or any of them.
    const reached = sticky === (sync === "revert") ? "none" : "any";
    const kind: Kind = {
      fault: { error: "EIO", sync: sync!, sticky, reached },
      isOfSyncs: true,
      dropsCaches,
    };
    const total = await countOperations(kind);
    const first = 1 + ((name.length + OFFSET) % STRIDE);
    const fired = await sweep({ total, first, stride: STRIDE }, (at) => runWith(kind, at));
    noteCounts({ faults: fired });
    expect(fired).toBeGreaterThan((total / STRIDE) * 0.6);
  });
});

/** Calls that change nothing. */
const READ_CALLS = ["read", "open", "close", "stat", "list", "lock"] as const;

/** A kind of failure of calls that change nothing. */
interface ReadKind {
  readonly fault: Omit<SimFault, "at" | "sticky">;
  readonly calls: readonly SimCall[];
  /** Once; of every call from the first one on; of every call on the same file. */
  readonly lasts: "once" | "for good" | "of a file";
}

async function readWith(start: Start, kind: ReadKind, at: number): Promise<number> {
  const { fault, calls, lasts } = kind;
  const run = runFrom(start);
  const { fs } = run;
  let count = 0;
  let file: string | undefined;
  const planned = fs.failAt({
    ...fault,
    // Another bit, and another length, each time.
    ...(fault.flipBit !== undefined && { flipBit: at * 7919 }),
    ...(fault.short !== undefined && { short: [0, 5, 100][at % 3]! }),
    sticky: lasts !== "once",
    at: (call, path) => {
      if (!calls.includes(call)) return false;
      count++;
      if (count === at) file = path;
      return count === at || (count > at && (lasts === "for good" || path === file));
    },
  });
  try {
    await readScript(run, start);
    fs.clearFaults();
    for (const { what, error } of run.errors) {
      expect((error as Error).name, `${what}: ${(error as Error).stack}`).toBe("AuraError");
      expect((error as { code: string }).code).toMatch(/^AURA_/);
    }
    expect(fs.openPaths()).toEqual([]);
    const power = fs.crash({ seed: at });
    const acked = run.writes.findLastIndex(({ outcome }) => outcome === "acknowledged");
    const least = isSettled(run, start) ? acked + 1 : run.durable;
    await judge(run, fs.processKill(), least);
    await judge(run, power, run.durable);
    expect(new ArenaPool().stats().heldCount).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled.splice(0)).toEqual([]);
  } catch (cause) {
    fs.clearFaults();
    await run.db?.close().catch(() => undefined);
    const seen = run.errors
      .map(({ what, error }) => `${what}: ${(error as Error).message}`)
      .concat(run.events);
    const message = `${start.ending}: ${JSON.stringify(kind)} at ${at}: ${(cause as Error).message}\n${[...new Set(seen)].join("\n")}`;
    throw new Error(message, { cause });
  }
  return planned.fired;
}

const OPENING = ["open", "list", "lock"] as const;

describe.each<[string, Omit<ReadKind, "lasts">, ReadKind["lasts"][]]>([
  ["EIO", { fault: { error: "EIO" }, calls: READ_CALLS }, ["once", "for good", "of a file"]],
  ["EMFILE", { fault: { error: "EMFILE" }, calls: OPENING }, ["once", "for good"]],
  ["a file that reads too short", { fault: { short: 0 }, calls: ["read"] }, ["once", "of a file"]],
  ["a flipped bit", { fault: { flipBit: 0 }, calls: ["read"] }, ["once", "of a file"]],
])("%s", (_name, kind, durations) => {
  test.each(durations.map((lasts) => [lasts]))(
    "at every call that changes nothing, %s",
    { timeout: 1_800_000 },
    async (lasts) => {
      let fired = 0;
      let runs = 0;
      for (const start of await makeStarts()) {
        const run = runFrom(start);
        let total = 0;
        run.fs.failAt({ at: (call) => kind.calls.includes(call) && total++ < 0 });
        await readScript(run, start);
        expect(run.errors).toEqual([]);
        const stride = Math.min(READ_STRIDE, Math.ceil(total / READ_RUNS_MIN));
        const first = 1 + (OFFSET % stride);
        fired += await sweep({ total, first, stride }, (at) => {
          runs++;
          return readWith(start, { ...kind, lasts }, at);
        });
      }
      // Up to the failure a run is the one that was counted.
      expect(fired).toBe(runs);
      expect(runs).toBeGreaterThanOrEqual(3 * (READ_RUNS_MIN - 1));
      noteCounts({ readFaults: fired });
    },
  );
});

const large = (seed: number): string => `${seed}`.repeat(600).slice(0, 600);

test("after a failed sync the database is read-only, readable, and sound when opened again", async () => {
  for (const manner of ["sync", "async"] as const) {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    await db.put("before", "synced", { sync: true });
    await db.put("after", "handed to the system");
    const planned = fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    const unknown = expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" });
    if (manner === "async") await expect(db.sync()).rejects.toEqual(unknown);
    else expect(() => db.putSync("last", "?", { sync: true })).toThrow(unknown);
    expect(planned.fired).toBe(1);
    const readOnly = expect.objectContaining({ code: "AURA_READ_ONLY" });
    expect(() => db.putSync("k", "v")).toThrow(readOnly);
    await expect(db.put("k", "v")).rejects.toEqual(readOnly);
    await expect(db.sync()).rejects.toEqual(readOnly);
    await expect(db.flush()).rejects.toEqual(readOnly);
    expect(db.getSync("before")?.toString()).toBe("synced");
    expect(db.getSync("after")?.toString()).toBe("handed to the system");
    expect(db.stats().failure).toMatch(/EIO/);
    // No second sync of the same file may make it look durable.
    const syncs = fs.counts.sync;
    await bounded("close", db.close(), runtime);
    expect(fs.counts.sync).toBe(syncs);
    const powerless = await AuraDB.open(directory, faultSettings, {
      fs: fs.crash({ data: "all" }),
      runtime,
    });
    expect(powerless.getSync("before")?.toString()).toBe("synced");
    await powerless.close();
  }
});

test("a log with values that could not be synced is not synced again to flush what it holds", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  const events: string[] = [];
  db.events.on("backgroundError", ({ severity, activity }) =>
    events.push(`${severity} ${activity}`),
  );
  await db.put("first", large(1), { sync: true });
  await db.put("second", large(2));
  fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith(".vlog"), error: "EIO" });
  const readOnly = expect.objectContaining({ code: "AURA_READ_ONLY" });
  await expect(bounded("flush", db.flush(), runtime)).rejects.toEqual(readOnly);
  await fewTurns();
  expect(events).toEqual(["hard sync"]);
  expect(db.getSync("second")?.toString()).toBe(large(2));
  expect(fs.list(directory).filter((path) => path.endsWith(".sst"))).toEqual([]);
  const image = fs.crash({ data: "all", names: "all" });
  await bounded("close", db.close(), runtime);
  const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
  expect(again.getSync("first")?.toString()).toBe(large(1));
  const second = again.getSync("second")?.toString();
  expect([undefined, large(2)]).toContain(second);
  await bounded("close", again.close(), runtime);
  const report = await AuraDB.verify(directory, { fs: image, runtime });
  expect(report.problems).toEqual([]);
});

test("a sync behind a failed write covers the log that the write ended", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  db.putSync("old", "in the log that fails");
  fs.failAt({ at: (kind, path) => kind === "write" && path.endsWith(".wal"), error: "EIO" });
  expect(() => db.putSync("rejected", "x")).toThrow(expect.objectContaining({ code: "AURA_IO" }));
  db.putSync("new", "in the next", { sync: true });
  const again = await AuraDB.open(directory, faultSettings, {
    fs: fs.crash({ data: "none", names: "none" }),
    runtime,
  });
  expect([...again.keysSync()].map(String)).toEqual(["new", "old"]);
  await again.close();
  await db.close();
  expect(fs.openPaths()).toEqual([]);
});

test("out of space: writing pauses, reading goes on, and writing resumes once there is room", async () => {
  const fs = new SimFs({ capacity: 24 << 20 });
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  db.events.on("backgroundError", () => undefined);
  const model = new Map<string, string>();
  const put = (key: string, value: string): void => {
    db.putSync(key, value);
    model.set(key, value);
  };
  put("first", large(1));
  await bounded("flush", db.flush(), runtime);
  expect(fs.existsSync(`${directory}/BALLAST`)).toBe(true);
  fs.writeFile("/filler", new Uint8Array(fs.freeBytesSync("/") - (300 << 10)));
  let refused = 0;
  for (let i = 0; refused === 0; i++) {
    expect(i).toBeLessThan(2000);
    try {
      put(`key ${i}`, large(i));
    } catch (error) {
      expect((error as { code: string }).code).toBe("AURA_OUT_OF_SPACE");
      refused = i + 1;
    }
  }
  const full = expect.objectContaining({ code: "AURA_OUT_OF_SPACE" });
  for (let i = 0; i < 5; i++) {
    expect(() => db.putSync("paused", "x")).toThrow(full);
    await expect(db.put("paused", "x")).rejects.toEqual(full);
    runtime.advance(500);
  }
  for (const [key, value] of model) expect(db.getSync(key)?.toString()).toBe(value);
  const killed = fs.processKill();
  fs.unlinkSync("/filler");
  fs.syncDirSync("/");
  runtime.advance(500);
  put("resumed", large(7));
  await db.put("and so", "on", { sync: true });
  model.set("and so", "on");
  await bounded("flush", db.flush(), runtime);
  await bounded("close", db.close(), runtime);
  expect(db.closed).toBe(true);
  for (const [image, last] of [
    [fs, true],
    [killed, false],
  ] as const) {
    if (!last) image.unlinkSync("/filler");
    const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
    const wanted = new Map(model);
    if (!last) {
      wanted.delete("resumed");
      wanted.delete("and so");
    }
    expect(new Map([...again.scanSync()].map(([k, v]) => [String(k), String(v)]))).toEqual(wanted);
    await bounded("close", again.close(), runtime);
  }
});

test("a merge for which the volume has no room is tried ever less often, and at once when it has", async () => {
  const fs = new SimFs({ capacity: 40 << 20 });
  const runtime = simRuntime(1);
  const settings: Settings = {
    memtable: { maxSize: 4 << 20 },
    table: { compression: "none" },
    compaction: { l0Trigger: 2, automatic: false },
  };
  const first = await AuraDB.open(directory, settings, { fs, runtime });
  for (let i = 0; i < 12_000; i++) first.putSync(`key ${(i * 7919) % 12_000}`, "v".repeat(1000));
  await first.flush();
  await first.close();
  fs.writeFile("/filler", new Uint8Array(fs.freeBytesSync("/") - (5 << 20)));
  const automatic = { ...settings, compaction: { l0Trigger: 2 } };
  const db = await AuraDB.open(directory, automatic, { fs, runtime });
  let begun = 0;
  db.events.on("compactionStarted", () => begun++);
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds * 20; i++) {
      runtime.advance(50);
      await fewTurns();
    }
  };
  await db.put("a", "1");
  await pass(60);
  expect(begun).toBeGreaterThan(2);
  expect(begun).toBeLessThan(8);
  expect(db.stats().compactions.merges).toBe(0);
  await db.put("a", "2");
  fs.unlinkSync("/filler");
  await pass(4);
  expect(db.stats().compactions.merges).toBeGreaterThan(0);
  expect(db.getSync("a")?.toString()).toBe("2");
  await db.close();
});
