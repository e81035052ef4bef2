/** A process without a free descriptor: nothing is lost, so nothing turns read-only. */
import fs from "node:fs";
import { SimFs, simRuntime } from "@aura/base/testing";
import { afterEach, expect, test, vi } from "vitest";
import { AuraDB } from "../src/index.ts";
import { openReal, withDirectory } from "./support/open-real.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Nothing but logs, which are there already, can be opened: the limit is reached. */
function takeDescriptors(): void {
  const real = fs.openSync.bind(fs);
  vi.spyOn(fs, "openSync").mockImplementation(((path: string, flags: number, mode?: number) => {
    if (/\.(wal|vlog)$/.test(path)) return real(path, flags, mode);
    throw Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" });
  }) as typeof fs.openSync);
}

test.each(["putSync", "put", "sync"] as const)(
  "a %s that makes the name of a log durable needs no descriptor for the directory",
  async (call) => {
    await withDirectory(async (directory) => {
      const db = await openReal(directory);
      takeDescriptors();
      if (call === "putSync") db.putSync("a", "1", { sync: true });
      else if (call === "put") await db.put("a", "1", { sync: true });
      else {
        await db.put("a", "1");
        await db.sync();
      }
      expect(db.stats().failure).toBe(undefined);
      db.putSync("b", "2");
      vi.restoreAllMocks();
      await db.close();
      const again = await openReal(directory);
      expect([again.getSync("a")?.toString(), again.getSync("b")?.toString()]).toEqual(["1", "2"]);
      await again.close();
    });
  },
);

test("nothing is buffered behind what is due, and would be lost with it", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open("/db", { wal: { bufferedDelayMs: 50 } }, { fs, runtime });
  const none = fs.failAt({ error: "EMFILE", sticky: true, at: (kind) => kind === "create" });
  let taken = 0;
  const buffered = { durability: "buffered" } as const;
  for (let i = 0; i < 1000; i++) {
    try {
      if (i % 2 === 0) db.putSync(`buffered ${i}`, Buffer.alloc(640), buffered);
      else await db.put(`buffered ${i}`, Buffer.alloc(640), buffered);
      taken++;
    } catch (error) {
      expect(error).toMatchObject({ code: "AURA_IO" });
    }
    if (i % 10 === 0) runtime.advance(5);
  }
  // 64 KiB, or what came within the delay.
  expect(taken).toBeGreaterThan(50);
  expect(taken).toBeLessThan(120);
  none.remove();
  db.putSync("more", "1", buffered);
  const found = [...db.scanSync()].length;
  expect(found).toBe(taken + 1);
  await db.close();
});

test.each([1, 100])("what is buffered stays so until there is one: %i writes", async (count) => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const settings = { wal: { bufferedDelayMs: 50 } };
  const db = await AuraDB.open("/db", settings, { fs, runtime });
  const none = fs.failAt({ error: "EMFILE", sticky: true, at: (kind) => kind === "create" });
  const buffered = { durability: "buffered" } as const;
  // Of the size from which on they do not wait for the delay, or less.
  for (let i = 0; i < count; i++) {
    await db.put(`buffered ${i}`, Buffer.alloc(640), buffered).catch(() => undefined);
  }
  runtime.advance(200);
  expect(none.fired).toBeGreaterThan(0);
  expect(() => db.putSync("os", "refused")).toThrow(expect.objectContaining({ code: "AURA_IO" }));
  await expect(db.put("os", "refused")).rejects.toMatchObject({ code: "AURA_IO" });
  expect(db.stats().failure).toBe(undefined);
  none.remove();
  runtime.advance(200);
  const image = fs.processKill();
  db.putSync("os", "taken");
  await db.close();
  const again = await AuraDB.open("/db", settings, { fs: image, runtime });
  expect(again.getSync("buffered 0")?.length).toBe(640);
  expect(again.getSync("os")).toBe(undefined);
  await again.close();
});
