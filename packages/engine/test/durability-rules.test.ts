/** The rules of durability, one by one: each test breaks when its rule is broken. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { readLog } from "@aura/wal";
import { expect, test } from "vitest";
import { ByteReader } from "../src/byte-buffer.ts";
import { AuraDB, type Settings } from "../src/index.ts";
import { decodePreamble } from "../src/log-preamble.ts";
import { bounded, fewTurns } from "./support/fault-run.ts";
import { expectDamage } from "./support/leaks.ts";

const directory = "/db";
const settings: Settings = {
  seed: 5,
  wal: { maxFileSize: 65536 },
  valueLog: { separationThreshold: 200, maxSegmentSize: 65536 },
  memtable: { maxSize: 262144 },
  compaction: { automatic: false },
};
const runtime = simRuntime(2);
const LARGE = "large ".repeat(60);

function open(fs: SimFs, more: Settings = {}): Promise<AuraDB> {
  return AuraDB.open(directory, { ...settings, ...more }, { fs, runtime });
}

function entries(db: AuraDB): Record<string, string> {
  return Object.fromEntries([...db.scanSync()].map(([k, v]) => [k.toString(), v.toString()]));
}

/** Opens, reads everything, closes. */
async function contentOf(fs: SimFs, more: Settings = {}): Promise<Record<string, string>> {
  const db = await open(fs, more);
  try {
    return entries(db);
  } finally {
    await bounded("close", db.close(), runtime);
    expect(fs.openPaths()).toEqual([]);
  }
}

const files = (fs: SimFs, kind: string): string[] =>
  fs.list(directory).filter((path) => path.endsWith(kind));
const numberOf = (path: string): number => Number(/([0-9]+)\.[a-z]+$/.exec(path)?.[1] ?? 0);

async function refused(fs: SimFs): Promise<void> {
  const before = fs.list(directory).map((path) => [path, fs.readFile(path).toString("hex")]);
  const corrupt = expect.objectContaining({
    code: "AURA_CORRUPTION",
    file: expect.stringContaining(directory),
    offset: expect.any(Number),
  });
  await expect(open(fs)).rejects.toEqual(corrupt);
  expect(fs.list(directory).map((path) => [path, fs.readFile(path).toString("hex")])).toEqual(
    before,
  );
  expect(fs.openPaths()).toEqual([]);
}

/** Offset and length of the last frame with operations of a log. */
function lastFrame(fs: SimFs, path: string): { offset: number; end: number } {
  const log = readLog(fs, path);
  let offset = 0;
  while (log.next()) if (log.count > 0) offset = log.offset;
  const end = log.end!.offset;
  log.closeSync();
  return { offset, end };
}

test("a sync covers the whole history: what stands in other files too", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("wal", "at level os");
  db.putSync("vlog", LARGE);
  // Logs that were rotated since count as well.
  for (let i = 0; i < 900; i++) db.putSync(`fill ${i}`, "x".repeat(150));
  expect(files(fs, ".wal").length).toBeGreaterThanOrEqual(2);
  db.putSync("last", "synced", { sync: true });
  const found = await contentOf(fs.crash({ data: "none", names: "none" }));
  expect(found).toMatchObject({ wal: "at level os", vlog: LARGE, last: "synced" });
  expect(Object.keys(found).length).toBe(903);
  // The same for a sync write through the pool, for db.sync, and for a put at level sync alone.
  await db.put("vlog 2", LARGE);
  await db.put("async", "synced", { sync: true });
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toMatchObject({
    "vlog 2": LARGE,
    async: "synced",
  });
  await db.put("vlog 3", LARGE);
  await db.put("wal 3", "os");
  await db.sync();
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toMatchObject({
    "vlog 3": LARGE,
    "wal 3": "os",
  });
  await db.close();
});

test("a sync covers what an earlier process left at level os, and so does an open", async () => {
  const before = new SimFs();
  const first = await open(before);
  first.putSync("wal", "at level os");
  first.putSync("vlog", LARGE);
  const fs = before.processKill();
  const second = await open(fs);
  const wanted = { wal: "at level os", vlog: LARGE };
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual(wanted);
  second.putSync("later", "synced", { sync: true });
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual({
    ...wanted,
    later: "synced",
  });
  await second.close();
});

test("level os survives a kill at once, level buffered after its delay or a close", async () => {
  const fs = new SimFs();
  const own = simRuntime(3);
  const db = await AuraDB.open(directory, settings, { fs, runtime: own });
  await db.put("os", "1");
  await db.put("buffered", "2", { durability: "buffered" });
  expect(db.getSync("buffered")?.toString()).toBe("2");
  expect(await contentOf(fs.processKill())).toEqual({ os: "1" });
  own.advance(10);
  expect(await contentOf(fs.processKill())).toEqual({ os: "1", buffered: "2" });
  await db.put("closed", "3", { durability: "buffered" });
  await db.close();
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual({
    os: "1",
    buffered: "2",
    closed: "3",
  });
});

test("a buffered write leaves no hole: a later one takes it along", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("first", "buffered", { durability: "buffered" });
  db.putSync("second", LARGE);
  expect(Object.keys(await contentOf(fs.processKill()))).toEqual(["first", "second"]);
  db.putSync("third", "buffered", { durability: "buffered" });
  db.putSync("fourth", "synced", { sync: true });
  const powerless = await contentOf(fs.crash({ data: "none", names: "none" }));
  expect(Object.keys(powerless)).toEqual(["first", "fourth", "second", "third"]);
  await db.close();
});

test.each([
  ["a write", "write", undefined],
  ["a write that reached the disk all the same", "write", true],
  ["the creation of the log", "create", undefined],
] as const)(
  "%s that fails: its numbers are void, and it never reappears",
  async (_, kind, happened) => {
    for (const large of [false, true]) {
      const ending = large ? ".vlog" : ".wal";
      const fs = new SimFs();
      const db = await open(fs);
      if (kind === "write") db.putSync("before", large ? LARGE : "small");
      fs.failAt({
        at: (what, path) => what === kind && path.endsWith(ending),
        error: "EIO",
        ...(happened === undefined ? {} : { happened }),
      });
      expect(() => db.putSync("rejected", large ? LARGE : "small")).toThrow(
        expect.objectContaining({ code: "AURA_IO" }),
      );
      const wanted: Record<string, string> =
        kind === "write" ? { before: large ? LARGE : "small" } : {};
      expect(entries(db)).toEqual(wanted);
      // Not either when nothing was written since.
      expect(await contentOf(fs.processKill())).toEqual(wanted);
      // The history goes on in both streams, behind the void.
      db.putSync("small", "after");
      db.putSync("big", LARGE, { sync: true });
      Object.assign(wanted, { small: "after", big: LARGE });
      expect(await contentOf(fs.processKill())).toEqual(wanted);
      expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual(wanted);
      expect(await contentOf(fs.crash({ data: "all", names: "all" }))).toEqual(wanted);
      // Through a recovery, and one more.
      const twice = fs.crash({ data: "all", names: "all" });
      await contentOf(twice);
      expect(await contentOf(twice)).toEqual(wanted);
      await db.close();
      expect(await contentOf(fs)).toEqual(wanted);
      expect((await AuraDB.verify(directory, { fs, runtime })).problems).toEqual([]);
    }
  },
);

test("a rejected last write does not come back after a close and power loss", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("kept", "1");
  fs.failAt({
    at: (kind, path) => kind === "write" && path.endsWith(".wal"),
    error: "EIO",
    happened: true,
  });
  expect(() => db.putSync("rejected", "2")).toThrow();
  await db.close();
  for (const image of [fs.crash({ data: "none", names: "none" }), fs.processKill()]) {
    expect(await contentOf(image)).toEqual({ kept: "1" });
  }
});

test("a poisoned log is read up to its valid length only", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("kept", "1");
  const [first] = files(fs, ".wal");
  const { end } = lastFrame(fs, first!);
  fs.failAt({
    at: (kind, path) => kind === "write" && path === first,
    error: "EIO",
    happened: true,
  });
  expect(() => db.putSync("rejected", "2")).toThrow();
  const second = files(fs, ".wal").find((path) => path !== first)!;
  const log = readLog(fs, second);
  const preamble = decodePreamble(new ByteReader(log.preamble, second, 0));
  log.closeSync();
  expect(preamble.poisoned).toEqual([{ number: numberOf(first!), validBytes: end }]);
  expect(preamble.voids).toEqual([{ first: 2, last: 2 }]);
  // The frame of the rejected write is whole in the file; garbage behind it does not matter either.
  expect(lastFrame(fs, first!).end).toBeGreaterThan(end);
  const garbled = fs.processKill();
  garbled.writeFile(first!, Buffer.concat([fs.readFile(first!), Buffer.alloc(99, 0xa5)]));
  expect(await contentOf(garbled)).toEqual({ kept: "1" });
  await db.close();
});

test("boot id: in the same boot a bad frame refuses, and only a cut last frame is a torn tail", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("a", "1");
  db.putSync("b", "2");
  const [path] = files(fs, ".wal");
  const { offset, end } = lastFrame(fs, path!);
  const bad = fs.processKill();
  bad.flipBits(path!, end - 1, 1);
  await refused(bad);
  const cut = fs.processKill();
  cut.writeFile(path!, fs.readFile(path!).subarray(0, end - 1));
  expect(await contentOf(cut)).toEqual({ a: "1" });
  // The same where zeros were filled ahead: the frame begins, and ends in zeros.
  const zeros = fs.processKill();
  const begun = Buffer.concat([fs.readFile(path!).subarray(0, end - 1), Buffer.alloc(5000)]);
  zeros.writeFile(path!, begun);
  expect(await contentOf(zeros)).toEqual({ a: "1" });
  // A hole in the middle of it is no end.
  begun[end + 4000] = 1;
  const hole = fs.processKill();
  hole.writeFile(path!, begun);
  await refused(hole);
  const cutOnce = fs.processKill();
  cutOnce.writeFile(path!, fs.readFile(path!).subarray(0, offset + 3));
  await expect(contentOf(cutOnce, { wal: { recovery: "absolute" } })).rejects.toEqual(
    expect.objectContaining({ code: "AURA_CORRUPTION" }),
  );
  // After a power loss the same bad frame is a torn tail: nothing says that it was durable.
  const torn = fs.crash({ data: "all", names: "all" });
  torn.flipBits(path!, end - 1, 1);
  const cuts: number[] = [];
  const reopened = await open(torn);
  reopened.events.on("recoveryCut", ({ lostSeqs }) => cuts.push(lostSeqs));
  await fewTurns();
  expect(entries(reopened)).toEqual({ a: "1" });
  expect(cuts).toEqual([1]);
  await reopened.close();
  await db.close();
});

test("recovery tolerate-tail: after a power loss a torn last frame goes, nothing else", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("a", "1");
  db.putSync("b", "2");
  db.putSync("c", "3");
  const [path] = files(fs, ".wal");
  const { offset, end } = lastFrame(fs, path!);
  const tolerant: Settings = { wal: { recovery: "tolerate-tail" } };
  const lastTorn = (): SimFs => {
    const image = fs.crash({ data: "all", names: "all" });
    image.flipBits(path!, end - 1, 1);
    return image;
  };
  expect(await contentOf(lastTorn(), tolerant)).toEqual({ a: "1", b: "2" });
  const cut = fs.crash({ data: "all", names: "all" });
  cut.writeFile(path!, fs.readFile(path!).subarray(0, end - 1));
  expect(await contentOf(cut, tolerant)).toEqual({ a: "1", b: "2" });
  // A bad frame with a good one behind it: point-in-time cuts both, tolerate-tail refuses.
  const middle = (): SimFs => {
    const image = fs.crash({ data: "all", names: "all" });
    image.flipBits(path!, offset - 1, 1);
    return image;
  };
  expect(await contentOf(middle())).toEqual({ a: "1" });
  await expect(contentOf(middle(), tolerant)).rejects.toEqual(
    expect.objectContaining({ code: "AURA_CORRUPTION", file: path }),
  );
  await db.close();
});

test("damage at or below the durable watermark refuses, whichever frame says so; salvage keeps what is before", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("a", "1");
  db.putSync("b", "2", { sync: true });
  const [path] = files(fs, ".wal");
  const { end } = lastFrame(fs, path!);
  // The next group carries the watermark.
  db.putSync("c", "3");
  const image = fs.crash({ data: "all", names: "all" });
  image.flipBits(path!, end - 1, 1);
  await refused(image);
  expect(await contentOf(image.processKill(), { wal: { recovery: "salvage" } })).toEqual({
    a: "1",
  });
  await db.close();
  // An empty group carries it when writing pauses; a group of the other stream does as well.
  for (const other of [false, true]) {
    const idle = new SimFs();
    const own = simRuntime(3);
    const second = await AuraDB.open(directory, settings, { fs: idle, runtime: own });
    second.putSync("a", "1");
    second.putSync("b", "2", { sync: true });
    const before = idle.readFile(files(idle, ".wal")[0]!).length;
    if (other) second.putSync("big", LARGE);
    else own.advance(50);
    const powerless = idle.crash({ data: "all", names: "all" });
    powerless.flipBits(files(idle, ".wal")[0]!, before - 1, 1);
    await refused(powerless);
    await second.close();
  }
});

test("a watermark that power loss takes away is no damage", async () => {
  for (const large of [false, true]) {
    const fs = new SimFs();
    const own = simRuntime(3);
    const db = await AuraDB.open(directory, settings, { fs, runtime: own });
    db.putSync("k", large ? LARGE : "v", { sync: true });
    own.advance(50);
    // The flush seals the log with values; what it promises must not count the watermark.
    await bounded("flush", db.flush(), own);
    const wanted = { k: large ? LARGE : "v" };
    expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual(wanted);
    db.putSync("l", large ? LARGE : "v", { sync: true });
    own.advance(50);
    const powerless = fs.crash({ data: "none", names: "none" });
    expect(await contentOf(powerless)).toEqual({ ...wanted, l: wanted.k });
    await bounded("close", db.close(), own);
    expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual({
      ...wanted,
      l: wanted.k,
    });
  }
});

test("after a clean close any damage refuses: a bad byte, a cut, a longer file, a missing one", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("a", "1");
  db.putSync("big", LARGE);
  await db.close();
  for (const path of [...files(fs, ".wal"), ...files(fs, ".vlog")]) {
    const bytes = fs.readFile(path);
    const damages: ((image: SimFs) => void)[] = [
      (image) => image.flipBits(path, bytes.length - 1, 1),
      (image) => image.writeFile(path, bytes.subarray(0, -1)),
      (image) => image.writeFile(path, bytes.subarray(0, lastFrame(fs, path).offset)),
      (image) => image.writeFile(path, Buffer.concat([bytes, Buffer.alloc(1)])),
      (image) => image.unlinkSync(path),
    ];
    for (const damage of damages) {
      for (const image of [fs.processKill(), fs.crash({ data: "none", names: "none" })]) {
        damage(image);
        await refused(image);
      }
    }
  }
  expect(await contentOf(fs.crash({ data: "none", names: "none" }))).toEqual({
    a: "1",
    big: LARGE,
  });
});

/** Writes, a flush, a torn tail, a void: something of everything for a recovery. */
async function leaveMuch(): Promise<SimFs> {
  const fs = new SimFs();
  const db = await open(fs);
  for (let i = 0; i < 5; i++) db.putSync(`flushed ${i}`, i % 2 === 0 ? LARGE : "small");
  await db.flush();
  fs.failAt({
    at: (kind, path) => kind === "write" && path.endsWith(".vlog"),
    error: "EIO",
    partial: 50,
  });
  expect(() => db.putSync("rejected", LARGE)).toThrow();
  db.putSync("big", LARGE);
  db.putSync("small", "synced", { sync: true });
  db.putSync("lost", LARGE);
  db.putSync("lost too", "small");
  const image = fs.crash({ data: "prefix", names: "all", seed: 4 });
  await db.close();
  return image;
}

test("recovery is idempotent: recovered twice is recovered once", async () => {
  const image = await leaveMuch();
  const once = await contentOf(image.processKill());
  expect(once).toMatchObject({ big: LARGE, small: "synced", "flushed 0": LARGE });
  expect(once).not.toHaveProperty("rejected");
  const twice = image.processKill();
  const first = await open(twice);
  expect(entries(first)).toEqual(once);
  const killed = twice.processKill();
  expect(await contentOf(killed)).toEqual(once);
  expect(await contentOf(killed)).toEqual(once);
  await first.close();
  expect(await contentOf(twice)).toEqual(once);
  expect((await AuraDB.verify(directory, { fs: twice, runtime })).problems).toEqual([]);
});

test("recovery is idempotent: cut off at every operation, and again in the next", {
  timeout: 60_000,
}, async () => {
  const image = await leaveMuch();
  const wanted = await contentOf(image.processKill());
  const crashed = async (from: SimFs, point: number, seed: number): Promise<SimFs | undefined> => {
    const fs = from.processKill();
    fs.crashAt(point);
    try {
      // The machine is off behind the crash: nothing of this process goes on.
      const db = await open(fs);
      fs.clearFaults();
      await db.close();
      return undefined;
    } catch (error) {
      if (!fs.isOff) throw error;
    }
    return fs.crash({ seed });
  };
  let cases = 0;
  for (let point = 1; ; point++) {
    const first = await crashed(image, point, point);
    if (first === undefined) break;
    expect(await contentOf(first.processKill()), `cut off at ${point}`).toEqual(wanted);
    for (let again = 1; ; again += 3) {
      const second = await crashed(first, again, again * 1000 + point);
      if (second === undefined) break;
      cases++;
      expect(await contentOf(second), `cut off at ${point}, then at ${again}`).toEqual(wanted);
    }
  }
  expect(cases).toBeGreaterThan(50);
});

test("no number is used again, of files or of sequence", async () => {
  let fs = new SimFs();
  const seen = new Map<string, string>();
  let highestSeq = 0;
  let highestFile = 0;
  for (let round = 0; round < 8; round++) {
    const db = await open(fs);
    expect(db.stats().lastSeq).toBeGreaterThanOrEqual(highestSeq);
    highestFile = Math.max(highestFile, ...fs.list(directory).map(numberOf));
    db.putSync(`synced ${round}`, LARGE, { sync: true });
    if (round % 3 === 1) await db.flush();
    for (const path of fs.list(directory)) {
      if (numberOf(path) === 0) continue;
      // A name stands for one content for ever: the uid in its header stays.
      const uid = fs.readFile(path).subarray(28, 36).toString("hex");
      expect(seen.get(path) ?? uid).toBe(uid);
      seen.set(path, uid);
    }
    // Lost in the crash, and given to nobody again.
    db.putSync(`lost ${round}`, "x");
    db.putSync(`lost too ${round}`, LARGE);
    highestSeq = db.stats().lastSeq;
    const image = fs.crash({ data: round % 2 === 0 ? "none" : "all", names: "all" });
    if (round % 2 === 0) highestSeq -= 2;
    await db.close();
    fs = image;
  }
  expect(seen.size).toBeGreaterThan(20);
  expect(new Set([...seen.keys()].map(numberOf)).size).toBe(seen.size);
});

test("a file that lies about is never written over, whatever its number", async () => {
  const fs = new SimFs();
  await (await open(fs)).close();
  fs.writeFile(`${directory}/000900.sst`, Buffer.from("an orphan of a later number"));
  const db = await open(fs);
  db.putSync("k", LARGE);
  await db.flush();
  expect(fs.existsSync(`${directory}/000900.sst`)).toBe(false);
  expect(Math.min(...[...files(fs, ".sst"), ...files(fs, ".vlog")].map(numberOf))).toBeGreaterThan(
    900,
  );
  await db.close();
});

test("orphans go at open; files with other names are left alone", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("k", LARGE);
  await db.flush();
  await db.close();
  const [table] = files(fs, ".sst");
  const foreign = ["notes.txt", "1.sst", "000001.sst.bak", "000001.SST", "CURRENT.bak", "a.wal"];
  const orphans = [
    "000777.sst",
    "000778.seg",
    "000779.manifest",
    "CURRENT.tmp",
    "000780.sst",
    "000781.sst",
  ];
  for (const name of foreign) fs.writeFile(`${directory}/${name}`, Buffer.from(name));
  for (const name of orphans) fs.writeFile(`${directory}/${name}`, Buffer.from(name));
  const again = await open(fs);
  await bounded("idle", again.idle(), runtime);
  for (const name of orphans) expect(fs.existsSync(`${directory}/${name}`), name).toBe(false);
  for (const name of foreign) expect(fs.readFile(`${directory}/${name}`).toString()).toBe(name);
  expect(fs.existsSync(table!)).toBe(true);
  expect(again.getSync("k")?.toString()).toBe(LARGE);
  await again.close();
});

test("nothing is deleted by an open that refuses, also not a missing CURRENT's files", async () => {
  expectDamage();
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("k", LARGE);
  await db.close();
  fs.unlinkSync(`${directory}/CURRENT`);
  await refused(fs);
});

test("LOCK refuses a second open, names the holder, and stays", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const locked = expect.objectContaining({
    code: "AURA_LOCKED",
    message: expect.stringContaining("locked by AuraDB"),
  });
  await expect(open(fs)).rejects.toEqual(locked);
  db.putSync("k", "still writable");
  await db.close();
  expect(fs.existsSync(`${directory}/LOCK`)).toBe(true);
  expect(await contentOf(fs)).toEqual({ k: "still writable" });
  // A failed open lets go of it.
  const damaged = fs.processKill();
  damaged.flipBits(`${directory}/CURRENT`, 5, 1);
  await refused(damaged);
  damaged.flipBits(`${directory}/CURRENT`, 5, 1);
  expect(await contentOf(damaged)).toEqual({ k: "still writable" });
});

test("a log goes only when a durable edit says that its operations are in tables", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("k", "v", { sync: true });
  db.putSync("big", LARGE, { sync: true });
  const [log] = files(fs, ".wal");
  const planned = fs.failAt({
    at: (kind, path) => {
      if (kind !== "unlink" || path !== log) return false;
      // At this moment a power loss must find the operations in durable tables.
      image = fs.crash({ data: "none", names: "all" });
      return false;
    },
  });
  let image: SimFs | undefined;
  await bounded("flush", db.flush(), runtime);
  await bounded("idle", db.idle(), runtime);
  expect(planned.fired).toBe(0);
  expect(fs.existsSync(log!)).toBe(false);
  image!.unlinkSync(log!);
  expect(await contentOf(image!)).toEqual({ k: "v", big: LARGE });
  // The log with values stays as long as a table refers to it.
  expect(files(fs, ".vlog").length).toBe(1);
  await db.close();
});
