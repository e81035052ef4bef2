/**
 * What is known of a sync that failed, by whom, and for how long: nothing that it may have lost is
 * believed later, by another sync, by the next process of the same boot, or by an open that is tried
 * again. In each test the power is lost at the end; what was acknowledged has to be there.
 */
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { AuraDB } from "../src/index.ts";
import { readManifest } from "../src/manifest.ts";

const open = (fs: SimFs, runtime: SimRuntime = simRuntime(2)) =>
  AuraDB.open("/db", {}, { fs, runtime });
const isLog = (path: string): boolean => /\.(wal|vlog)$/.test(path);
const isLogSync = (kind: string, path: string): boolean => kind === "sync" && isLog(path);
const unknown = { code: "AURA_UNKNOWN_OUTCOME" };

async function turns(count: number, isDone: () => boolean = () => false): Promise<void> {
  for (let i = 0; i < count && !isDone(); i++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Opens what a killed process left, makes it durable, loses power at once, and reads `keys`. */
async function afterPowerLoss(fs: SimFs, ...keys: string[]): Promise<(string | undefined)[]> {
  const killed = fs.processKill();
  const db = await open(killed);
  db.syncSync();
  const lost = killed.crash({ data: "none", names: "all" });
  await db.close();
  const last = await open(lost);
  const values = keys.map((key) => last.getSync(key)?.toString());
  await last.close();
  return values;
}

describe("the next process of the same boot knows of a failed sync", () => {
  it("when the manifest said so at once", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
    await db.close();
  });

  it("when the manifest could not be appended to at that moment", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    const isNote = (kind: string, path: string) => kind === "write" && path.includes("manifest");
    const note = fs.failAt({ at: isNote, error: "ENOSPC" });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    expect(note.fired).toBe(1);
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
    await db.close();
  });

  it("when no manifest could be written before it was closed", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    const isNote = (kind: string, path: string) =>
      (kind === "write" || kind === "open") && path.includes("manifest");
    const note = fs.failAt({ at: isNote, error: "EIO", sticky: true });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    expect(note.fired).toBeGreaterThan(1);
    note.remove();
    await db.close();
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
  });

  it("when a log could not be closed, either", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    const isNote = (kind: string, path: string) => kind === "write" && path.includes("manifest");
    const notes = fs.failAt({ at: isNote, error: "EIO", sticky: true });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    expect(notes.fired).toBeGreaterThan(1);
    notes.remove();
    // One of several open files of the log, and each of them.
    const isClose = (kind: string, path: string) => kind === "close" && isLog(path);
    const closes = fs.failAt({ at: isClose, error: "EIO", sticky: true });
    await expect(db.close()).rejects.toMatchObject({ code: "AURA_IO" });
    expect(closes.fired).toBeGreaterThan(1);
    expect(fs.openPaths()).toEqual([]);
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
  });

  it("when another manifest has taken force meanwhile, though nobody could say so", async () => {
    const held: (() => void)[] = [];
    let isHolding = false;
    const schedule = (task: () => void): void => {
      if (isHolding) held.push(task);
      else queueMicrotask(task);
    };
    const fs = new SimFs({ schedule });
    const db = await open(fs);
    db.putSync("a", "1");
    const flushing = db.flush().catch(() => undefined);
    await turns(100, () => db.stats().memtables.entries === 0);
    db.putSync("b", "2");
    isHolding = true;
    const syncing = db.sync().catch((error: Error) => error);
    const { number } = readManifest(fs, "/db")!;
    // The edit of the flush cannot be synced, nor the directory behind the manifest in its place.
    const isEdit = (kind: string, path: string) => kind === "sync" && path.includes("manifest");
    const edit = fs.failAt({ at: isEdit, error: "EIO" });
    const isLast = (kind: string): boolean =>
      kind === "syncDir" && edit.fired > 0 && readManifest(fs, "/db")!.number > number;
    const last = fs.failAt({ at: isLast, error: "EIO" });
    await turns(100, () => last.fired > 0);
    expect(last.fired).toBe(1);
    const syncs = fs.failAt({ at: isLogSync, error: "EIO", sticky: true });
    isHolding = false;
    for (const task of held.splice(0)) task();
    expect(await syncing).toBeInstanceOf(Error);
    expect(syncs.fired).toBe(2);
    expect(await afterPowerLoss(fs, "a", "b")).toEqual(["1", "2"]);
    await flushing;
    await db.close().catch(() => undefined);
  });

  it("when a resume failed behind its new manifest", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    const isTable = (kind: string, path: string) => path.endsWith(".sst") && kind !== "stat";
    const tables = fs.failAt({ at: isTable, error: "EIO", sticky: true });
    await expect(db.resume()).rejects.toMatchObject({ code: "AURA_READ_ONLY" });
    expect(tables.fired).toBeGreaterThan(0);
    tables.remove();
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
    await db.close();
  });

  it("when the database tried to resume by itself on a full volume", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(2);
    const db = await open(fs, runtime);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "ENOSPC" });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    const isTable = (kind: string, path: string) => path.endsWith(".sst") && kind === "write";
    const tables = fs.failAt({ at: isTable, error: "ENOSPC", sticky: true });
    for (let i = 0; i < 100 && tables.fired === 0; i++) {
      runtime.advance(500);
      await turns(1);
    }
    expect(tables.fired).toBeGreaterThan(0);
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
    tables.remove();
    await db.close();
  });

  it("when a flush that was under way began a new manifest behind it", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 0; i < 20_000; i++) db.putSync(`u${i}`, "x".repeat(100));
    const flushed = db.flush().catch(() => undefined);
    await turns(2);
    db.putSync("a", "1");
    expect(db.stats().levels[0]!.tables).toBe(0);
    const syncs = fs.failAt({ at: isLogSync, error: "EIO", sticky: true });
    // The note goes through; the edit behind it does not, so that its manifest begins anew.
    let notes = 0;
    const isEdit = (kind: string, path: string): boolean =>
      kind === "write" && path.includes("manifest") && syncs.fired > 0 && notes++ > 0;
    const edit = fs.failAt({ at: isEdit, error: "EIO" });
    expect(() => db.syncSync()).toThrow(expect.objectContaining(unknown));
    syncs.remove();
    await turns(400, () => db.stats().levels[0]!.tables > 0);
    expect(edit.fired).toBe(1);
    expect(db.stats().levels[0]!.tables).toBeGreaterThan(0);
    expect(await afterPowerLoss(fs, "a")).toEqual(["1"]);
    await flushed;
    await db.close();
  });

  it("and not of one that a resume has made up for", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    fs.failAt({ at: isLogSync, error: "EIO" });
    await expect(db.sync()).rejects.toMatchObject(unknown);
    await db.resume();
    db.putSync("b", "2", { sync: true });
    const killed = fs.processKill();
    // What such a process writes anew goes to a draft first.
    const isDraft = (kind: string, path: string) => kind === "open" && path.endsWith(".copy");
    const drafts = killed.failAt({ at: isDraft, error: "EIO", sticky: true });
    const next = await open(killed);
    expect([next.getSync("a"), next.getSync("b")].join()).toBe("1,2");
    expect(drafts.fired).toBe(0);
    await next.close();
    await db.close();
  });
});

describe("a write at level sync is not acknowledged", () => {
  /** How many microtasks after the failed sync it comes, and whether a write fails before. */
  const cases = [0, 1, 2, 3, 5, 8].flatMap((late) => [
    { late, fails: false },
    { late, fails: true },
  ]);

  it.each(cases)(
    "behind a failed sync, $late turns later, failed write: $fails",
    async ({ late, fails }) => {
      const held: (() => void)[] = [];
      let isHolding = false;
      const schedule = (task: () => void): void => {
        if (isHolding) held.push(task);
        else queueMicrotask(task);
      };
      const fs = new SimFs({ schedule });
      const db = await open(fs);
      db.putSync("a", "at level os");
      isHolding = true;
      const syncing = db.sync().catch((error: Error) => error);
      await turns(2);
      const sync = fs.failAt({ at: isLogSync, error: "EIO" });
      // The thread pool has synced, in vain; this thread is told in a later turn.
      for (const task of held.splice(0)) task();
      isHolding = false;
      expect(sync.fired).toBe(1);
      for (let i = 0; i < late; i++) await Promise.resolve();
      if (fails) {
        const write = fs.failAt({
          at: (kind, path) => kind === "write" && isLog(path),
          error: "EIO",
        });
        expect(() => db.putSync("b", "x")).toThrow();
        write.remove();
      }
      expect(() => db.putSync("c", "2", { sync: true })).toThrow();
      expect(await syncing).toBeInstanceOf(Error);
      await db.close();
    },
  );
});

describe("an open whose sync of a log fails", () => {
  async function twoPuts(): Promise<SimFs> {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1", { sync: true });
    db.putSync("b", "2");
    const killed = fs.processKill();
    await db.close();
    return killed;
  }

  it("writes the log anew", async () => {
    const fs = await twoPuts();
    const sync = fs.failAt({ at: isLogSync, error: "EIO" });
    const db = await open(fs);
    expect(sync.fired).toBe(1);
    db.putSync("c", "3", { sync: true });
    const lost = await open(fs.crash({ data: "none", names: "none" }));
    expect(["a", "b", "c"].map((key) => `${lost.getSync(key)}`)).toEqual(["1", "2", "3"]);
    await lost.close();
    await db.close();
  });

  it.each(["create", "rename", "syncDir"])(
    "leaves word for the next one when a %s fails behind it",
    async (behind) => {
      const fs = await twoPuts();
      const sync = fs.failAt({ at: isLogSync, error: "EIO" });
      const fault = fs.failAt({
        at: (kind) => kind === behind && sync.fired > 0,
        error: "ENOSPC",
        sticky: true,
      });
      await expect(open(fs)).rejects.toMatchObject({ code: "AURA_OUT_OF_SPACE" });
      expect(fault.fired).toBe(1);
      fault.remove();
      const db = await open(fs);
      db.syncSync();
      const lost = await open(fs.crash({ data: "none", names: "none" }));
      expect(["a", "b"].map((key) => `${lost.getSync(key)}`)).toEqual(["1", "2"]);
      await lost.close();
      await db.close();
    },
  );

  it("leaves word for the next one when it is killed behind it", async () => {
    const fs = await twoPuts();
    let killed: SimFs | undefined;
    const at = (): boolean => {
      if (sync.fired > 0) killed ??= fs.processKill();
      return false;
    };
    const sync = fs.failAt({ at: isLogSync, error: "EIO" });
    fs.failAt({ at });
    await (await open(fs)).close();
    const db = await open(killed!);
    const lost = await open(killed!.crash({ data: "none", names: "none" }));
    expect(["a", "b"].map((key) => `${lost.getSync(key)}`)).toEqual(["1", "2"]);
    await lost.close();
    await db.close();
  });

  it("is not misled by a file of another's", async () => {
    const fs = await twoPuts();
    fs.writeFile("/db/notes.copy", Buffer.from("mine"));
    const isDraft = (kind: string, path: string) => kind === "create" && path.endsWith(".wal.copy");
    const drafts = fs.failAt({ at: isDraft, error: "EIO", sticky: true });
    const db = await open(fs);
    expect(drafts.fired).toBe(0);
    await db.close();
    expect(fs.readFile("/db/notes.copy").toString()).toBe("mine");
  });

  it("leaves word for the next one when that fails, too", async () => {
    const fs = await twoPuts();
    const isSync = (kind: string, path: string) => kind === "sync" && /\.(wal|copy)$/.test(path);
    const syncs = fs.failAt({ at: isSync, error: "EIO", sticky: true });
    await expect(open(fs)).rejects.toMatchObject({ code: "AURA_IO" });
    expect(syncs.fired).toBe(2);
    syncs.remove();
    const db = await open(fs);
    db.syncSync();
    const lost = await open(fs.crash({ data: "none", names: "none" }));
    expect(["a", "b"].map((key) => `${lost.getSync(key)}`)).toEqual(["1", "2"]);
    await lost.close();
    await db.close();
  });
});
