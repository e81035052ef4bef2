import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { inject, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { smallSettings } from "./support/names-run.ts";
import { withDirectory } from "./support/open-real.ts";
const pad = "x".repeat(300);
function deadly(dir: string): URL {
  const path = `${dir}-worker.mjs`;
  writeFileSync(path, `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
const flag = ${JSON.stringify(`${dir}-died`)};
for (const name of ["fsyncSync", "fdatasyncSync"]) { const o = fs[name]; fs[name] = (...a) => { if (!fs.existsSync(flag)) { fs.writeFileSync(flag, ""); process.exit(1); } return o(...a); }; }
syncBuiltinESMExports();
await import(${JSON.stringify(inject("workerUrl"))});`);
  return pathToFileURL(path);
}
test("worker death, async writes", async () => {
  await withDirectory(async (dir) => {
    const db = await AuraDB.open(dir, smallSettings, { workerUrl: deadly(dir) });
    const events: string[] = [];
    db.events.on("backgroundError", (e) => events.push(`${e.activity} ${e.severity} ${e.error.message.slice(0, 100)}`));
    for (let i = 0; i < 6000; i++) await db.put(`k${i}`, pad);
    await db.flush();
    console.log(events, db.stats().flushes);
    let lost = 0; for (let i = 0; i < 6000; i++) if (db.getSync(`k${i}`) === undefined) lost++;
    expect(lost).toBe(0);
    await db.close();
    const r = await AuraDB.verify(dir);
    expect(r.problems).toEqual([]);
  });
}, 100000);
test("worker death, putSync in a loop", async () => {
  await withDirectory(async (dir) => {
    const db = await AuraDB.open(dir, smallSettings, { workerUrl: deadly(`${dir}b`) });
    let worst = 0; let failed = ""; let i = 0;
    for (; i < 6000 && failed === ""; i++) {
      const t = Date.now();
      try { db.putSync(`k${i}`, pad); } catch (e) { failed = String(e); }
      worst = Math.max(worst, Date.now() - t);
    }
    console.log(`longest putSync ${worst} ms; put ${i} ${failed}`);
    await db.close();
    expect(failed).toBe("");
  });
}, 100000);
