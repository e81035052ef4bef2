/** A write fails, and so does what is to void it: its numbers are given again, and no log says otherwise. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { bounded, directory, faultSettings } from "./support/fault-run.ts";

const small = "v";
const large = "v".repeat(700);

async function valuesIn(fs: SimFs, keys: readonly string[]): Promise<(string | undefined)[]> {
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime: simRuntime(2) });
  const values = keys.map((key) => db.getSync(key)?.toString());
  await db.close();
  expect((await AuraDB.verify(directory, { fs, runtime: simRuntime(2) })).problems).toEqual([]);
  return values;
}

describe("behind a failed write whose new log cannot be made durable", () => {
  const cases = (["sync", "syncDir", "write, and its removal"] as const).flatMap((second) =>
    [small, large].flatMap((lost) =>
      [small, large].map((next) => [second, lost.length, next.length] as const),
    ),
  );
  test.each(cases)(
    "what is written later is there (%s fails; %i B, then %i B)",
    async (second, lostBytes, nextBytes) => {
      const fs = new SimFs();
      const runtime = simRuntime(1);
      const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
      db.putSync("small", small);
      db.putSync("large", large);
      // A failed sync of the directory ends writing where it was to make names of the history durable.
      if (second === "syncDir") db.syncSync();
      const first = fs.failAt({ error: "EIO", partial: 10, at: (kind) => kind === "write" });
      const isWrite = second.startsWith("write");
      const fault = isWrite
        ? fs.failAt({
            error: "EIO",
            happened: true,
            at: (kind, path) => first.fired > 0 && kind === "write" && /\.(wal|vlog)$/.test(path),
          })
        : fs.failAt({ error: "EIO", at: (kind) => first.fired > 0 && kind === second });
      if (isWrite) fs.failAt({ error: "EIO", at: (kind) => kind === "unlink" });
      const lost = "?".repeat(lostBytes);
      expect(() => db.putSync("lost", lost)).toThrow(expect.objectContaining({ code: "AURA_IO" }));
      expect([first.fired, fault.fired]).toEqual([1, 1]);
      expect(db.stats().failure).toBe(undefined);
      const next = "n".repeat(nextBytes);
      const keys = ["small", "large", "lost", "b", "c", "d"];
      const wanted: (string | undefined)[] = [
        small,
        large,
        undefined,
        undefined,
        undefined,
        undefined,
      ];
      expect(await valuesIn(fs.processKill(), keys)).toEqual(wanted);
      for (const [i, key] of ["b", "c", "d"].entries()) {
        // The first one alone, too: then it takes a part of the numbers only.
        if (i === 1) db.deleteRangeSync({ gte: "x", lt: "y" });
        db.putSync(key, next, { sync: i > 0 });
        wanted[3 + i] = next;
        expect(await valuesIn(fs.processKill(), keys)).toEqual(wanted);
        if (i === 0) continue;
        expect(await valuesIn(fs.crash({ data: "none", names: "none" }), keys)).toEqual(wanted);
        expect(await valuesIn(fs.crash({ data: "all", names: "all" }), keys)).toEqual(wanted);
      }
      await bounded("flush", db.flush(), runtime);
      db.putSync("e", next);
      expect(await valuesIn(fs.processKill(), [...keys, "e"])).toEqual([...wanted, next]);
      await bounded("close", db.close(), runtime);
      expect(await valuesIn(fs, keys)).toEqual(wanted);
    },
  );
});

test.each([small.length, large.length])(
  "a failed sync of the directory behind a failed write (%i B) is not tried again: what was written before may have no name",
  async (lostBytes) => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    db.putSync("small", small);
    db.putSync("large", large);
    const first = fs.failAt({ error: "EIO", partial: 10, at: (kind) => kind === "write" });
    fs.failAt({ error: "EIO", at: (kind) => first.fired > 0 && kind === "syncDir" });
    const lost = "?".repeat(lostBytes);
    expect(() => db.putSync("lost", lost)).toThrow(expect.objectContaining({ code: "AURA_IO" }));
    // The next sync of the directory would succeed: on a disk that has lost the names of the logs.
    const refused = expect.objectContaining({ code: "AURA_READ_ONLY" });
    await expect(db.sync()).rejects.toEqual(refused);
    expect(() => db.syncSync()).toThrow(refused);
    await expect(db.put("b", small, { sync: true })).rejects.toEqual(refused);
    // The names of values are among them, and no table has those.
    await expect(bounded("resume", db.resume(), runtime)).rejects.toEqual(refused);
    expect(db.getSync("large")?.toString()).toBe(large);
    const keys = ["small", "large", "lost", "b"];
    const wanted = [small, large, undefined, undefined];
    expect(await valuesIn(fs.processKill(), keys)).toEqual(wanted);
    await bounded("close", db.close(), runtime);
    expect(await valuesIn(fs, keys)).toEqual(wanted);
  },
);

test("a sync that fails beside a failed write is known to the next process: it does not trust the page cache", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  await db.put("a", small);
  const syncing = db.sync();
  // Nothing can be written, cut off or synced for a while.
  const fault = fs.failAt({
    error: "EIO",
    sticky: true,
    at: (kind, path) => path.endsWith(".wal") && kind !== "read",
  });
  const unknown = expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" });
  expect(() => db.putSync("b", small)).toThrow(unknown);
  await expect(bounded("sync", syncing, runtime)).rejects.toEqual(unknown);
  fault.remove();
  const image = fs.processKill();
  const next = await AuraDB.open(directory, faultSettings, { fs: image, runtime: simRuntime(2) });
  expect(next.getSync("a")?.toString()).toBe(small);
  // What an open has found is durable.
  expect(await valuesIn(image.crash({ data: "none", names: "none" }), ["a"])).toEqual([small]);
  await next.close();
  await bounded(
    "close",
    db.close().catch(() => undefined),
    runtime,
  );
});
