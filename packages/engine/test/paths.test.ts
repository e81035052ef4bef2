/** The path of a database: what it names when the process changes its working directory. */
import { existsSync, mkdirSync } from "node:fs";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { openReal, withDirectory } from "./support/open-real.ts";

/** Runs `work` with two fresh directories, and goes back to the working directory of before. */
async function withTwoDirectories(work: (a: string, b: string) => Promise<void>): Promise<void> {
  const before = process.cwd();
  try {
    await withDirectory(async (root) => {
      mkdirSync(`${root}/a`);
      mkdirSync(`${root}/b`);
      try {
        await work(`${root}/a`, `${root}/b`);
      } finally {
        process.chdir(before);
      }
    });
  } finally {
    process.chdir(before);
  }
}

test("a relative path names the directory of the open, wherever the process goes", async () => {
  await withTwoDirectories(async (a, b) => {
    process.chdir(a);
    const db = await openReal("./db");
    const failed = new Promise<never>((_, reject) => {
      db.events.on("backgroundError", ({ error }) => reject(error));
    });
    await db.put("key", "value");
    process.chdir(b);
    await Promise.race([db.flush(), failed]);
    await db.put("later", "value");
    expect(db.stats().flushes.count).toBe(1);
    await db.close();
    expect(existsSync(`${a}/db/CURRENT`)).toBe(true);
    expect(existsSync(`${b}/db`)).toBe(false);

    await expect(AuraDB.verify("./db")).rejects.toMatchObject({ code: "AURA_NOT_FOUND" });
    process.chdir(a);
    const report = await AuraDB.verify("./db");
    expect(report.problems).toEqual([]);
    expect(report.entries + report.operationsInLogs).toBe(2);
  });
});
