import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim, smallSettings } from "./support/names-run.ts";
test("compression lz4, then none: compaction has enough numbers", async () => {
  const fs = new SimFs();
  const base = { ...smallSettings, valueLog: { separationThreshold: 65536 }, memtable: { maxSize: 4 << 20 } };
  let db = await openSim(fs, { ...base, table: { maxSize: 65536, compression: "lz4" }, compaction: { automatic: false } });
  for (let i = 0; i < 12000; i++) db.putSync(`k${i}`, "abcdefgh".repeat(400));
  await db.flush();
  await db.close();
  db = await openSim(fs, { ...base, table: { maxSize: 65536, compression: "none" } , compaction: { automatic: false } });
  const r = await db.compact().then(() => "ok", (e) => String(e));
  console.log(r, JSON.stringify(db.stats().levels.slice(0, 2)));
  await db.close();
  expect(r).toBe("ok");
});
