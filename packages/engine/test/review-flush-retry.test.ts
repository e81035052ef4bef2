import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim } from "./support/names-run.ts";
const pad = "x".repeat(300);
test("one failed flush, then putSync in a loop", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const fault = fs.failAt({ at: (kind, path) => kind === "create" && path.endsWith(".sst"), error: "EMFILE" });
  let first = "";
  let n = 0;
  for (; n < 6000; n++) { try { db.putSync(`k${n}`, pad); } catch (e) { first = String(e); break; } }
  console.log(`faults ${fault.fired} (the disk works again since), put ${n} fails: ${first}, flushes ${db.stats().flushes.count}`);
  expect(first).toBe("");
});
