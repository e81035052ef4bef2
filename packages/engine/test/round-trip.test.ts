import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, inject, test } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";

test("put, get, flush, compact, reopen on a simulated disk", async () => {
  const fs = new SimFs();
  const open = () =>
    AuraDB.open("/db", { memtable: { maxSize: 262144 } }, { fs, runtime: simRuntime(1) });
  let db = await open();
  for (let i = 0; i < 3000; i++) db.putSync(`k${i}`, `v${i}`.repeat(i % 50 === 0 ? 500 : 1));
  await db.put("a", "b");
  expect((await db.get("a"))?.toString()).toBe("b");
  db.deleteSync("k5");
  await db.flush();
  for (let i = 0; i < 3000; i += 3) db.putSync(`k${i}`, `w${i}`.repeat(i % 50 === 0 ? 500 : 1));
  await db.compact();
  await db.idle();
  const check = (): void => {
    for (let i = 0; i < 3000; i++) {
      const v = i % 3 === 0 ? `w${i}` : `v${i}`;
      const expected = i === 5 ? undefined : v.repeat(i % 50 === 0 ? 500 : 1);
      expect(db.getSync(`k${i}`)?.toString()).toBe(expected);
    }
  };
  check();
  await db.write(new WriteBatch().put("x", "y").delete("a"), { sync: true });
  await db.close();
  expect(fs.openHandles).toBe(0);
  const report = await AuraDB.verify("/db", { fs, runtime: simRuntime(1) });
  expect(report.problems).toEqual([]);
  db = await open();
  check();
  expect(db.getSync("a")).toBeUndefined();
  expect(db.getSync("x")?.toString()).toBe("y");
  await db.close();
});

test("with worker threads on the real disk", async () => {
  const directory = mkdtempSync(`${tmpdir()}/aura-smoke-`);
  const db = await AuraDB.open(
    directory,
    { memtable: { maxSize: 1048576 } },
    { workerUrl: new URL(inject("workerUrl")) },
  );
  let unavailable = 0;
  db.events.on("workersUnavailable", () => unavailable++);
  for (let i = 0; i < 100_000; i++) db.putSync(`k${i}`, `v${i}`);
  await db.idle();
  expect(db.stats().flushes.count).toBeGreaterThanOrEqual(2);
  for (let i = 0; i < 100_000; i += 7) expect(db.getSync(`k${i}`)?.toString()).toBe(`v${i}`);
  await db.close();
  expect(unavailable).toBe(0);
  const report = await AuraDB.verify(directory);
  expect(report.problems).toEqual([]);
  await AuraDB.destroy(directory);
  rmSync(directory, { recursive: true });
});
