/** Traces on a disk that is slow, full, failing or gone: the calls go on, and the file tells. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type DatabaseEvents, WriteBatch } from "../src/index.ts";
import { readTrace } from "../src/trace.ts";
import { readBack } from "./support/trace-records.ts";

const KIB = 1024;

async function open(fs: SimFs): Promise<AuraDB> {
  const runtime = simRuntime(9, { autoAdvance: true });
  return AuraDB.open("/db", { seed: 5 }, { fs, runtime });
}

/** Makes calls with keys of 1 KiB that do not shrink: 64 of them fill a block. */
function fill(db: AuraDB, from: number, count: number): void {
  for (let i = from; i < from + count; i++) {
    let text = "";
    for (let j = 0; j < 64; j++) text += Math.imul(i * 64 + j + 1, 0x9e3779b1).toString(36);
    db.getSync(`${i}/${text}`.padEnd(KIB, "-").slice(0, KIB));
  }
}

function turns(count: number): Promise<void> {
  return count === 0
    ? Promise.resolve()
    : new Promise<void>((resolve) => setImmediate(resolve)).then(() => turns(count - 1));
}

const keyNumber = (key: unknown): number => Number(String(key).split("/")[0]);

describe("a slow disk", () => {
  /** A disk whose asynchronous effects wait until they are let go. */
  function slowDisk(): { fs: SimFs; release: () => void; hold: () => void } {
    let held: (() => void)[] | undefined;
    const fs = new SimFs({
      schedule: (task) => {
        if (held === undefined) queueMicrotask(task);
        else held.push(task);
      },
    });
    return {
      fs,
      hold: () => {
        held ??= [];
      },
      release: () => {
        const tasks = held ?? [];
        held = undefined;
        for (const task of tasks) task();
      },
    };
  }

  test("whole blocks are dropped, the gap stands in the file, calls are not held up", async () => {
    const { fs, hold, release } = slowDisk();
    const db = await open(fs);
    const trace = db.trace("/trace", { bufferBytes: 256 * KIB });
    hold();
    fill(db, 0, 1000);
    await turns(5);
    fill(db, 1000, 1000);
    release();
    await turns(50);
    fill(db, 2000, 10);
    const { operations, dropped, bytes } = await trace.stop();
    expect(operations + dropped).toBe(2010);
    // Three to four blocks of 64 KiB fit the buffer; the rest of the first 2000 had no place.
    expect(dropped).toBeGreaterThan(1500);
    expect(operations).toBeGreaterThan(180);
    expect(bytes).toBe(fs.fileBytesSync("/trace"));
    const read = readBack("/trace", fs);
    expect(read.ending).toBe("complete");
    expect(read.records).toHaveLength(operations);
    expect(read.dropped).toBe(dropped);
    expect(read.gaps.reduce((sum, gap) => sum + gap, 0)).toBe(dropped);
    expect(read.gaps.filter((gap) => gap > 0)).toHaveLength(1);
    // A record's number is that of its call, also behind the gap.
    expect(read.numbers).toEqual(read.records.map(({ key }) => keyNumber(key) + 1));
    expect(read.records.at(-1)).toMatchObject({ kind: "get" });
    await db.close();
  });

  test("a batch that a gap cuts is read as two groups", async () => {
    const { fs, hold, release } = slowDisk();
    const db = await open(fs);
    const trace = db.trace("/trace", { bufferBytes: 256 * KIB });
    hold();
    const batch = new WriteBatch();
    for (let i = 0; i < 1000; i++) batch.put(`${i}/`.padEnd(KIB, "k"), "");
    db.writeSync(batch);
    await turns(5);
    const stopping = trace.stop();
    release();
    const { operations, dropped } = await stopping;
    const read = readBack("/trace", fs);
    expect(read.dropped).toBe(dropped);
    expect(dropped).toBeGreaterThan(0);
    const groups = read.records.map(({ group }) => group);
    const cut = read.gaps.findIndex((gap) => gap > 0);
    expect(cut).toBeGreaterThan(0);
    expect(groups).toEqual(groups.map((_, i) => (i < cut ? 0 : 1)));
    expect(read.records).toHaveLength(operations);
    await db.close();
  });

  test("a program that never turns the loop loses what the buffer cannot hold, and no call", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const trace = db.trace("/trace", { bufferBytes: 512 * KIB });
    fill(db, 0, 2000);
    const { operations, dropped } = await trace.stop();
    expect(operations + dropped).toBe(2000);
    expect(operations).toBeGreaterThan(400);
    expect(operations).toBeLessThan(600);
    await db.close();
  });
});

describe("a disk that fails", () => {
  async function failing(error: "EIO" | "ENOSPC", code: string): Promise<void> {
    const fs = new SimFs();
    const db = await open(fs);
    const ended: DatabaseEvents["traceEnded"][0][] = [];
    db.events.on("traceEnded", (event) => ended.push(event));
    let writes = 0;
    fs.failAt({
      at: (kind, path) => kind === "write" && path === "/trace" && ++writes > 3,
      error,
      sticky: true,
      partial: 1000,
    });
    const trace = db.trace("/trace");
    for (let i = 0; i < 10; i++) {
      fill(db, i * 64, 64);
      await db.put(`k${i}`, "v");
      await turns(5);
    }
    expect(ended).toMatchObject([{ file: "/trace", reason: "error", error: { code } }]);
    const failure = expect.objectContaining({ code });
    await expect(trace.stop()).rejects.toEqual(failure);
    await expect(trace.stop()).rejects.toEqual(failure);
    expect(db.getSync("k9")?.toString()).toBe("v");
    expect(fs.openPaths()).not.toContain("/trace");
    const read = readBack("/trace", fs);
    expect(read.ending).toBe("cut");
    expect(read.records.length).toBeGreaterThan(60);
    expect(read.numbers).toEqual(read.records.map((_, i) => i + 1));
    // And a new one may begin.
    fs.clearFaults();
    const next = db.trace("/next");
    await db.get("k1");
    expect((await next.stop()).operations).toBe(1);
    await db.close();
  }

  test("a write error ends the trace: event and stop tell, the database goes on", () =>
    failing("EIO", "AURA_IO"));
  test("so does a full disk", () => failing("ENOSPC", "AURA_OUT_OF_SPACE"));

  test("closing the database does not fail for it, and a failed end mark is told", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const trace = db.trace("/trace");
    await db.get("k");
    fs.failAt({
      at: (kind, path) => kind === "write" && path === "/trace",
      error: "EIO",
      sticky: true,
    });
    await db.close();
    await expect(trace.stop()).rejects.toThrow(expect.objectContaining({ code: "AURA_IO" }));
    expect(fs.openHandles).toBe(0);
  });

  test("a file that cannot be created is no trace", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    fs.failAt({ at: (kind, path) => kind === "write" && path === "/trace", error: "ENOSPC" });
    expect(() => db.trace("/trace")).toThrow(
      expect.objectContaining({ code: "AURA_OUT_OF_SPACE" }),
    );
    await db.get("k");
    await db.trace("/other").stop();
    await db.close();
    expect(fs.openHandles).toBe(0);
  });
});

test("a file that is full ends the trace before it is longer", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const ended: DatabaseEvents["traceEnded"][0][] = [];
  db.events.on("traceEnded", (event) => ended.push(event));
  const maxBytes = 200 * KIB;
  const trace = db.trace("/trace", { maxBytes });
  for (let i = 0; i < 20; i++) {
    fill(db, i * 64, 64);
    await turns(5);
  }
  expect(ended).toEqual([{ file: "/trace", reason: "maxBytes" }]);
  const { operations, bytes, dropped } = await trace.stop();
  expect(bytes).toBeLessThanOrEqual(maxBytes);
  expect(bytes).toBe(fs.fileBytesSync("/trace"));
  const read = readBack("/trace", fs);
  expect(read.ending).toBe("complete");
  expect(read.records).toHaveLength(operations);
  expect(read.dropped).toBe(dropped);
  await db.trace("/next").stop();
  await db.close();
});

describe("a crash", () => {
  test("of the process leaves a readable prefix", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const trace = db.trace("/trace");
    for (let i = 0; i < 8; i++) {
      fill(db, i * 100, 100);
      await turns(5);
    }
    const killed = fs.processKill();
    const read = readBack("/trace", killed);
    expect(read.ending).toBe("cut");
    expect(read.records.length).toBeGreaterThan(600);
    expect(read.numbers).toEqual(read.records.map(({ key }) => keyNumber(key) + 1));
    const strict = readTrace("/trace", { fs: killed });
    let count = 0;
    expect(() => {
      while (strict.next()) count++;
    }).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION", file: "/trace" }));
    expect(count).toBe(read.records.length);
    strict.close();
    await trace.stop();
    await db.close();
  });

  test("of the machine leaves a readable prefix, or a file that says it is none", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const trace = db.trace("/trace");
    fs.syncDirSync("/");
    for (let i = 0; i < 5; i++) {
      fill(db, i * 100, 100);
      await turns(5);
    }
    let readable = 0;
    for (let seed = 0; seed < 60; seed++) {
      const image = fs.crash({ seed, gaps: seed % 2 === 0 ? "zeros" : "garbage" });
      try {
        const read = readBack("/trace", image);
        expect(read.numbers).toEqual(read.records.map(({ key }) => keyNumber(key) + 1));
        expect(read.ending).not.toBe("complete");
        if (read.records.length > 0) readable++;
      } catch (error) {
        expect((error as { code?: string }).code).toBe("AURA_CORRUPTION");
      }
    }
    expect(readable).toBeGreaterThan(5);
    await trace.stop();
    await db.close();
  });
});
