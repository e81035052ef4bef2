/** Recovery beside logs that cannot be read at all: refused, or, when asked to salvage, passed over. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { readLog } from "@aura/wal";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { bounded, directory, fewTurns } from "./support/fault-run.ts";
import { expectDamage } from "./support/leaks.ts";

const settings: Settings = { wal: { maxFileSize: 65536 } };

const files = (fs: SimFs, kind: string): string[] =>
  fs.list(directory).filter((path) => path.endsWith(kind));

/** Opens, lists the keys, closes. */
async function contentOf(fs: SimFs): Promise<string[]> {
  const runtime = simRuntime(2);
  const db = await AuraDB.open(directory, settings, { fs, runtime });
  const keys = [...db.keysSync()].map(String);
  await bounded("close", db.close(), runtime);
  return keys;
}

test("salvage keeps what is before a log that cannot be read at all, which stays under another name", async () => {
  expectDamage();
  for (const way of ["head", "swapped"] as const) {
    const fs = new SimFs();
    const db = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(2) });
    const value = "v".repeat(500);
    for (let i = 0; files(fs, ".wal").length < 3; i++) {
      db.putSync(`k${String(i).padStart(4, "0")}`, value);
    }
    const image = fs.processKill();
    await db.close();
    const logs = files(image, ".wal");
    const first = readLog(image, logs[0]!);
    let kept = 0;
    while (first.next()) kept += first.count;
    first.closeSync();
    if (way === "head") image.flipBits(logs[1]!, 3, 0x55);
    else {
      image.renameSync(logs[1]!, `${directory}/aside`);
      image.renameSync(logs[2]!, logs[1]!);
      image.renameSync(`${directory}/aside`, logs[2]!);
    }
    const before = image
      .list(directory)
      .map((path) => [path, image.readFile(path).toString("hex")]);
    await expect(contentOf(image)).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
    const after = image.list(directory).map((path) => [path, image.readFile(path).toString("hex")]);
    expect(after).toEqual(before);
    const own = simRuntime(3);
    const salvage: Settings = { wal: { ...settings.wal, recovery: "salvage" } };
    const salvaged = await AuraDB.open(directory, salvage, { fs: image, runtime: own });
    const cuts: string[] = [];
    salvaged.events.on("recoveryCut", ({ reason }) => cuts.push(reason));
    expect([...salvaged.keysSync()]).toHaveLength(kept);
    salvaged.putSync("later", "1", { sync: true });
    await fewTurns();
    expect(cuts).toEqual([expect.stringContaining(logs[1]!)]);
    const aside = files(image, ".damaged");
    expect(aside).toContain(`${logs[1]!}.damaged`);
    const powerless = image.crash({ data: "none", names: "none" });
    await bounded("close", salvaged.close(), own);
    for (const later of [powerless, image]) {
      const found = await contentOf(later);
      expect(found).toHaveLength(kept + 1);
      expect(found.at(-1)).toBe("later");
      expect(files(later, ".damaged")).toEqual(aside);
    }
  }
});
