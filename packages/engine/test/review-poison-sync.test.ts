import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim } from "./support/names-run.ts";
test("one failed append, then a sync", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("a", "1");
  fs.failAt({ at: (kind, path) => kind === "write" && path.endsWith(".wal"), error: "ENOSPC" });
  const out: string[] = [];
  const attempt = (what: string, f: () => void) => { try { f(); out.push(`${what}: ok`); } catch (e) { out.push(`${what}: ${String(e)}`); } };
  attempt("b (fails, as it should)", () => db.putSync("b", "2"));
  attempt("c", () => db.putSync("c", "3"));
  attempt("d {sync: true}", () => db.putSync("d", "4", { sync: true }));
  attempt("e", () => db.putSync("e", "5"));
  console.log(out.join("\n"), db.stats().failure);
  expect(db.stats().failure).toBe(undefined);
});
