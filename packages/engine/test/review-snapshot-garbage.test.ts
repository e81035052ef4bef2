import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim } from "./support/names-run.ts";
test("compact() after a snapshot was released drops what it held", async () => {
  const db = await openSim(new SimFs());
  const big = "v".repeat(5000);
  for (let i = 0; i < 100; i++) db.putSync(`k${i}`, big + i);
  const s = db.snapshot();
  for (let i = 0; i < 100; i++) db.deleteSync(`k${i}`);
  await db.compact();
  await db.idle();
  s.release();
  await db.compact();
  await db.idle();
  const st = db.stats();
  console.log(JSON.stringify(st.levels.slice(0, 3)), JSON.stringify(st.values));
  expect(st.values.liveBytes).toBe(0);
  await db.close();
});
