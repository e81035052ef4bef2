/** A process without a free descriptor: nothing is lost, so nothing turns read-only. */
import fs from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
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
