import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim } from "./support/names-run.ts";
test("a failed fsync that dropped its pages, then a restart of the process ('reopen to know')", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("a", "1");
  db.putSync("big", "v".repeat(1000));
  db.syncSync();
  db.putSync("b", "1");
  db.putSync("big", "w".repeat(1000));
  fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith(".wal"), error: "EIO", sync: "drop" });
  try { db.syncSync(); } catch (e) { console.log(String(e)); }
  let r = "";
  try { const again = await openSim(fs.processKill()); r = `opened, a=${again.getSync("a")}`; } catch (e) { r = String(e); }
  console.log("reopen:", r);
  expect(r).toBe("opened, a=1");
});
