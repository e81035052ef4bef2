/** Failures by severity: what pauses, what turns read-only, what leads back, and what is never lost. */
import { type SimFault, SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { bounded, directory, faultSettings, fewTurns } from "./support/fault-run.ts";

const large = (seed: number): string => `${seed}`.repeat(600).slice(0, 600);
const readOnly = expect.objectContaining({ code: "AURA_READ_ONLY" });

async function open(fs: SimFs, settings: Settings = faultSettings) {
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, settings, { fs, runtime });
  const events: string[] = [];
  db.events.on("backgroundError", ({ severity, activity }) => {
    events.push(`${severity} ${activity}`);
  });
  db.events.on("backgroundResumed", ({ activity }) => events.push(`on with ${activity}`));
  db.events.on("resumed", () => events.push("resumed"));
  return { db, runtime, events };
}

function stateOf(db: AuraDB): Map<string, string> {
  return new Map([...db.scanSync()].map(([k, v]) => [String(k), String(v)]));
}

/** Each makes the database read-only at its next synced put. */
const failures: [string, Omit<SimFault, "at">, (kind: string, path: string) => boolean][] = [
  [
    "a failed sync of the log",
    { error: "EIO" },
    (kind, path) => kind === "sync" && path.endsWith(".wal"),
  ],
  [
    "a failed sync that drops the pages",
    { error: "EIO", sync: "drop" },
    (kind, path) => kind === "sync" && path.endsWith(".wal"),
  ],
  [
    "a failed sync that reverts them in part",
    { error: "EIO", sync: "revert", reached: "any" },
    (kind, path) => kind === "sync" && path.endsWith(".wal"),
  ],
  [
    "a write of unknown outcome",
    { error: "EIO", partial: 20, sticky: true },
    (kind, path) => ["write", "create", "truncate"].includes(kind) && path.endsWith(".wal"),
  ],
];

describe.each(failures)("after %s", (_, fault, at) => {
  test("the database resumes with all that was acknowledged, and only then is it sure", async () => {
    for (let acknowledged = 0; acknowledged < 40; acknowledged += 13) {
      const fs = new SimFs({ seed: acknowledged });
      const { db, runtime, events } = await open(fs);
      const model = new Map<string, string>([["first", "v"]]);
      db.putSync("first", "v");
      for (let i = 0; i < acknowledged; i++) {
        const durability = i % 7 === 0 ? "buffered" : "os";
        db.putSync(`k${i % 29}`, `v${i}`, { durability });
        model.set(`k${i % 29}`, `v${i}`);
      }
      // Values that are synced apart are no obstacle.
      db.putSync("large", large(1), { sync: true });
      model.set("large", large(1));
      const snapshot = db.snapshot();
      const planned = fs.failAt({ ...fault, at });
      expect(() => db.putSync("lost", "?", { sync: true })).toThrow();
      expect(planned.fired).toBeGreaterThan(0);
      expect(() => db.putSync("k", "v")).toThrow(readOnly);
      const seen = stateOf(db);
      planned.remove();
      await bounded("resume", db.resume(), runtime);
      expect(db.stats().failure).toBe(undefined);
      await bounded("resume", db.resume(), runtime);
      // What was visible is visible, and survives a power loss at once.
      expect(stateOf(db)).toEqual(seen);
      for (const [key, value] of model) expect(seen.get(key)).toBe(value);
      const image = fs.crash({ data: "none", names: "none" });
      const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
      expect(stateOf(again)).toEqual(seen);
      await bounded("close", again.close(), runtime);
      // Numbers go on: new writes win, also over what the failed log may hold.
      await bounded("put", db.put("lost", "found"), runtime);
      db.putSync("k0", "new", { sync: true });
      db.putSync("large 2", large(2), { sync: true });
      const after = fs.crash({ data: "none", names: "none" });
      await fewTurns();
      expect(events).toEqual(["resumed"]);
      expect(db.getSync("k0", { snapshot })?.toString()).toBe(seen.get("k0"));
      snapshot.release();
      await bounded("close", db.close(), runtime);
      for (const left of [after, fs]) {
        const last = await AuraDB.open(directory, faultSettings, { fs: left, runtime });
        expect(last.getSync("lost")?.toString()).toBe("found");
        expect(last.getSync("k0")?.toString()).toBe("new");
        expect(last.getSync("large 2")?.toString()).toBe(large(2));
        expect(last.getSync("large")?.toString()).toBe(large(1));
        await bounded("close", last.close(), runtime);
      }
      expect((await AuraDB.verify(directory, { fs, runtime })).problems).toEqual([]);
    }
  });

  test("a resume that fails anywhere leaves the database read-only, and the next try leads on", async () => {
    let ended = false;
    for (let nth = 1; !ended; nth++) {
      expect(nth).toBeLessThan(200);
      const fs = new SimFs({ seed: nth });
      const { db, runtime } = await open(fs);
      for (let i = 0; i < 30; i++) db.putSync(`k${i}`, `v${i}`);
      const planned = fs.failAt({ ...fault, at });
      expect(() => db.putSync("lost", "?", { sync: true })).toThrow();
      planned.remove();
      const seen = stateOf(db);
      let count = 0;
      const second = fs.failAt({
        at: (kind) =>
          ["write", "sync", "create", "rename", "syncDir"].includes(kind) && ++count >= nth,
        error: "EIO",
        sticky: true,
      });
      const resumed = await bounded("resume", db.resume(), runtime).then(
        () => true,
        (error: unknown) => {
          expect(error).toEqual(readOnly);
          return false;
        },
      );
      ended = second.fired === 0;
      expect(resumed || second.fired > 0).toBe(true);
      second.remove();
      if (!resumed) {
        expect(() => db.putSync("k", "v")).toThrow(readOnly);
        expect(stateOf(db)).toEqual(seen);
        const survived = fs.processKill();
        await bounded("resume", db.resume(), runtime);
        if (fault.sync === undefined) {
          // A process that dies instead loses nothing of the cache.
          const other = await AuraDB.open(directory, faultSettings, { fs: survived, runtime });
          for (let i = 0; i < 30; i++) expect(other.getSync(`k${i}`)?.toString()).toBe(`v${i}`);
          await bounded("close", other.close(), runtime);
        }
      }
      db.putSync("next", "1", { sync: true });
      const wanted = new Map([...seen, ["next", "1"]]);
      expect(stateOf(db)).toEqual(new Map([...wanted].sort()));
      const image = fs.crash({ data: "none", names: "none" });
      await bounded("close", db.close(), runtime);
      const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
      expect(stateOf(again)).toEqual(new Map([...wanted].sort()));
      await bounded("close", again.close(), runtime);
    }
  });
});

test.each([
  ["a call", async (db: AuraDB): Promise<void> => db.syncSync(), "AURA_UNKNOWN_OUTCOME"],
  ["a flush", (db: AuraDB): Promise<void> => db.flush(), "AURA_READ_ONLY"],
] as const)(
  "values whose sync failed, that of %s, keep the database read-only: the refusal names their file",
  async (_, sync, code) => {
    const fs = new SimFs();
    const { db, runtime } = await open(fs);
    db.putSync("large", large(1));
    fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith(".vlog"), error: "EIO" });
    await expect(bounded("sync", sync(db), runtime)).rejects.toMatchObject({ code });
    await expect(bounded("resume", db.resume(), runtime)).rejects.toMatchObject({
      code: "AURA_READ_ONLY",
      file: expect.stringMatching(/\.vlog$/),
      message: expect.stringMatching(/values in it may be lost/),
    });
    expect(() => db.putSync("k", "v")).toThrow(readOnly);
    expect(db.getSync("large")?.toString()).toBe(large(1));
    await bounded("close", db.close(), runtime);
    await expect(db.resume()).rejects.toMatchObject({ code: "AURA_CLOSED" });
  },
);

test("a manifest that cannot be written for want of space: writes are taken again by themselves", async () => {
  const fs = new SimFs();
  const { db, runtime, events } = await open(fs);
  db.putSync("k", "v");
  const planned = fs.failAt({
    at: (kind, path) => ["write", "create"].includes(kind) && path.endsWith(".manifest"),
    error: "ENOSPC",
    sticky: true,
  });
  await expect(bounded("flush", db.flush(), runtime)).rejects.toEqual(readOnly);
  await fewTurns();
  expect(events).toEqual(["hard manifest"]);
  expect(() => db.putSync("k2", "v")).toThrow(readOnly);
  planned.remove();
  for (let i = 0; db.stats().failure !== undefined || events.length < 2; i++) {
    expect(i).toBeLessThan(500);
    runtime.advance(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(events).toEqual(["hard manifest", "resumed"]);
  db.putSync("k2", "v2");
  expect(stateOf(db)).toEqual(
    new Map([
      ["k", "v"],
      ["k2", "v2"],
    ]),
  );
  await bounded("close", db.close(), runtime);
  expect((await AuraDB.verify(directory, { fs, runtime })).problems).toEqual([]);
});

test("a full volume pauses merges, says so once, and they go on when there is room", async () => {
  const fs = new SimFs();
  const { db, runtime, events } = await open(fs);
  for (let i = 0; i < 5; i++) {
    for (let k = 0; k < 500; k++) db.putSync(`k${(k * 37 + i) % 900}`, `v${i}`.repeat(20));
    if (i === 1) {
      await bounded("idle", db.idle(), runtime);
      fs.failAt({
        at: (kind, path) => kind === "create" && path.endsWith(".sst") && full && merging(),
        error: "ENOSPC",
        sticky: true,
      });
      full = true;
    }
    await bounded("flush", db.flush(), runtime).catch(() => undefined);
  }
  function merging(): boolean {
    return db.stats().compactions.running > 0;
  }
  for (let i = 0; i < 400; i++) {
    runtime.advance(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const before = events.filter((event) => event === "soft compaction").length;
  expect(before).toBeGreaterThan(0);
  full = false;
  fs.clearFaults();
  await bounded("idle", db.idle(), runtime);
  expect(events).toContain("on with compaction");
  expect(db.stats().failure).toBe(undefined);
  await bounded("close", db.close(), runtime);
});
let full = false;

test("a compaction by hand that fills the volume gives the reserve up", async () => {
  const fs = new SimFs({ capacity: 64 << 20 });
  const { db, runtime } = await open(fs, { ...faultSettings, compaction: { automatic: false } });
  for (let i = 0; i < 2; i++) {
    for (let k = 0; k < 500; k++) db.putSync(`k${k}`, `v${i}`.repeat(50));
    await bounded("flush", db.flush(), runtime);
  }
  expect(fs.existsSync(`${directory}/BALLAST`)).toBe(true);
  fs.failAt({
    at: (kind, path) => kind === "write" && path.endsWith(".sst"),
    error: "ENOSPC",
  });
  await expect(bounded("compact", db.compact(), runtime)).rejects.toMatchObject({
    code: "AURA_OUT_OF_SPACE",
  });
  expect(fs.existsSync(`${directory}/BALLAST`)).toBe(false);
  db.putSync("k", "there is room");
  expect(fs.existsSync(`${directory}/BALLAST`)).toBe(true);
  await bounded("compact", db.compact(), runtime);
  await bounded("close", db.close(), runtime);
});

test("a damaged table is named, left alone, and takes nothing else with it", async () => {
  const fs = new SimFs();
  const { db, runtime, events } = await open(fs, {
    ...faultSettings,
    compaction: { ...faultSettings.compaction, automatic: false },
    table: { maxSize: 16384, blockSize: 512, compression: "none" },
  });
  for (let i = 0; i < 3; i++) {
    for (let k = 0; k < 800; k++) db.putSync(`k${String(k).padStart(4, "0")}`, `v${i}`.repeat(20));
    await bounded("flush", db.flush(), runtime);
  }
  await bounded("close", db.close(), runtime);
  const victim = fs.list(directory).filter((path) => path.endsWith(".sst"))[0]!;
  const bytes = fs.readFile(victim);
  bytes[300] = bytes[300]! ^ 0x40;
  fs.writeFile(victim, bytes);
  const second = await open(fs, faultSettings);
  const errors: { file?: string; offset?: number }[] = [];
  second.db.events.on("backgroundError", ({ error }) => errors.push(error as object));
  for (let i = 0; i < 100; i++) {
    runtime.advance(20);
    second.runtime.advance(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(second.events).toEqual(["corruption compaction"]);
  expect(errors).toHaveLength(1);
  expect(errors[0]!.file).toBe(victim);
  expect(errors[0]!.offset).toBeGreaterThan(0);
  const number = Number(/(\d+)\.sst$/.exec(victim)![1]);
  expect(second.db.stats().damaged).toEqual({ tables: [number], segments: [] });
  // What does not meet it went down: of level 0 there is left what does.
  const [zero, ...deeper] = second.db.stats().levels;
  expect(zero!.tables).toBeGreaterThan(0);
  expect(zero!.tables).toBeLessThan(8);
  expect(deeper.reduce((sum, { tables }) => sum + tables, 0)).toBeGreaterThan(0);
  let wrong = 0;
  for (let k = 0; k < 800; k++) {
    try {
      const value = second.db.getSync(`k${String(k).padStart(4, "0")}`)?.toString();
      expect(value).toBe("v2".repeat(20));
    } catch (error) {
      expect(error).toMatchObject({ code: "AURA_CORRUPTION", file: victim });
      wrong++;
    }
  }
  expect(wrong).toBeLessThan(40);
  second.db.putSync("new", "v");
  await bounded("flush", second.db.flush(), second.runtime);
  await bounded("idle", second.db.idle(), second.runtime);
  expect(second.db.getSync("new")?.toString()).toBe("v");
  await bounded("close", second.db.close(), second.runtime);
  expect(events).toEqual([]);
});

/** Steps of a new manifest before it is in force. */
const manifestSteps: [string, (kind: string, path: string) => boolean][] = [
  ["its content cannot be written", (kind, path) => kind === "write" && !path.endsWith(".tmp")],
  ["it cannot be synced", (kind, path) => kind === "sync" && path.endsWith("manifest")],
  ["its name cannot be synced", (kind) => kind === "syncDir"],
  ["CURRENT cannot be written", (kind, path) => kind === "write" && path.endsWith(".tmp")],
  ["CURRENT cannot be created", (kind, path) => kind === "create" && path.endsWith(".tmp")],
];

test.each(manifestSteps)("tries to resume leave no manifests behind where %s", async (_, at) => {
  const fs = new SimFs();
  const { db, runtime } = await open(fs);
  db.putSync("first", "v");
  const sync = fs.failAt({
    at: (kind, path) => kind === "sync" && path.endsWith(".wal"),
    error: "EIO",
  });
  expect(() => db.putSync("lost", "?", { sync: true })).toThrow();
  sync.remove();
  const manifests = (): string[] => fs.list(directory).filter((path) => path.endsWith("manifest"));
  const before = manifests();
  let begun = 0;
  const planned = fs.failAt({
    at: (kind, path) => {
      // The first write is the head of the file.
      if (kind === "write" && path.endsWith("manifest") && begun++ % 2 === 0) return false;
      return at(kind, path);
    },
    error: "ENOSPC",
    sticky: true,
  });
  for (let i = 0; i < 5; i++) {
    await expect(bounded("resume", db.resume(), runtime)).rejects.toEqual(readOnly);
    expect(manifests()).toEqual(before);
  }
  expect(planned.fired).toBeGreaterThanOrEqual(5);
  planned.remove();
  await bounded("resume", db.resume(), runtime);
  await bounded("close", db.close(), runtime);
  const again = await open(fs.processKill());
  expect(again.db.getSync("first")?.toString()).toBe("v");
  await bounded("close", again.db.close(), again.runtime);
});

test.each(["EIO", "ENOSPC"] as const)(
  "a queue that waits for room which never comes is settled by close (%s)",
  async (error) => {
    const fs = new SimFs();
    const { db, runtime } = await open(fs);
    fs.failAt({
      at: (kind, path) => kind === "create" && path.endsWith(".sst"),
      error,
      sticky: true,
    });
    const settled: string[] = [];
    const count = 3000;
    for (let i = 0; i < count; i++) {
      db.put(`k${i}`, "v".repeat(290)).then(
        () => settled.push("done"),
        (failure: { code: string }) => settled.push(failure.code),
      );
    }
    await fewTurns();
    expect(settled.length).toBeLessThan(count);
    await bounded("close", db.close(), runtime).catch(() => undefined);
    await fewTurns();
    expect(settled).toHaveLength(count);
    expect(settled).toContain("done");
    expect(new Set(settled).size).toBe(2);
  },
);

test("the age of tables is looked at again after a time of read-only", async () => {
  const fs = new SimFs();
  const { db, runtime } = await open(fs, { compaction: { periodicMs: 600_000 } });
  const pass = async (ms: number): Promise<void> => {
    for (let i = 0; i < ms / 20_000; i++) {
      runtime.advance(20_000);
      await fewTurns();
    }
  };
  db.putSync("k", "v");
  await bounded("compact", db.compact(), runtime);
  fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith(".wal"), error: "EIO" });
  expect(() => db.putSync("lost", "?", { sync: true })).toThrow();
  await pass(400_000);
  await bounded("resume", db.resume(), runtime);
  expect(db.stats().compactions.byReason).not.toHaveProperty("age");
  await pass(2_000_000);
  expect(db.stats().compactions.byReason).toHaveProperty("age");
  await bounded("close", db.close(), runtime);
});

describe.each([
  ["itself", (kind: string, path: string) => kind === "sync" && path.endsWith(".wal")],
  ["its name", (kind: string) => kind === "syncDir"],
] as const)("a log that is made in place of a failed one, and cannot sync %s", (_, isNext) => {
  const states = ["killed", "without power", "closed"] as const;

  test.each(states)("is not waited for by a resume: %s", async (state) => {
    const fs = new SimFs();
    const { db, runtime, events } = await open(fs);
    db.putSync("k", "v");
    const isOfLog = (path: string): boolean => path.endsWith(".wal");
    const write = fs.failAt({
      error: "ENOSPC",
      at: (kind, path) => kind === "write" && isOfLog(path),
    });
    const next = fs.failAt({
      error: "ENOSPC",
      at: (kind, path) => write.fired > 0 && isNext(kind, path),
    });
    fs.failAt({ error: "EIO", at: (kind, path) => kind === "truncate" && isOfLog(path) });
    expect(() => db.putSync("unknown", "?")).toThrow();
    expect([write.fired, next.fired]).toEqual([1, 1]);
    expect(() => db.putSync("refused", "?")).toThrow(readOnly);
    for (let i = 0; i < 10; i++) {
      runtime.advance(50);
      await fewTurns();
    }
    await bounded("resume", db.resume(), runtime);
    const model = new Map([["k", "v"]]);
    if (state !== "closed") {
      db.putSync("next", "w", { sync: true });
      model.set("next", "w");
    }
    expect(stateOf(db)).toEqual(model);
    const left = state === "killed" ? fs.processKill() : fs.crash({ data: "none", names: "none" });
    await bounded("close", db.close(), runtime);
    const again = await open(state === "closed" ? fs : left);
    expect(stateOf(again.db)).toEqual(model);
    again.db.putSync("last", "x");
    await bounded("flush", again.db.flush(), again.runtime);
    await bounded("close", again.db.close(), again.runtime);
    expect(events).toContain("resumed");
  });
});
