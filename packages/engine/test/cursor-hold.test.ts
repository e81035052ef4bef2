/** Cursors that nobody closed: what they held is let go of, and that is said. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Opens cursors and scans, and forgets all but the one that it returns. */
async function leave(db: AuraDB): Promise<{ readonly valid: boolean; close(): void }> {
  db.cursor().firstSync();
  await db.cursor({ prefix: "k" }).nextMany(2);
  await db.scan().next();
  db.keysSync().next();
  const kept = db.cursor();
  kept.firstSync();
  return kept;
}

test("cursors that were dropped without a close are reported, and pin nothing", async () => {
  const db = await AuraDB.open("/db", {}, { fs: new SimFs(), runtime: simRuntime(1) });
  let left = 0;
  db.events.on("cursorLeft", ({ count }) => {
    left += count;
  });
  for (let i = 0; i < 100; i++) db.putSync(`k${i}`, "v");
  const kept = await leave(db);
  expect(db.stats().openCursors).toBe(5);
  for (let round = 0; round < 200 && db.stats().openCursors > 1; round++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    collectGarbage();
  }
  expect(db.stats().openCursors).toBe(1);
  expect(kept.valid).toBe(true);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(left).toBe(4);
  kept.close();
  expect(db.stats().openCursors).toBe(0);
  await db.close();
  expect(left).toBe(4);
});
