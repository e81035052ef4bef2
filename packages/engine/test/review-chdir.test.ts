import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { withDirectory } from "./support/open-real.ts";
test("a relative path, then process.chdir", async () => {
  await withDirectory(async (dir) => {
    mkdirSync(`${dir}/a`); mkdirSync(`${dir}/b`);
    const dist = new URL("../dist/index.js", import.meta.url).pathname;
    writeFileSync(`${dir}/t.mjs`, `import { AuraDB } from ${JSON.stringify(dist)};
process.chdir(${JSON.stringify(`${dir}/a`)});
const db = await AuraDB.open("./db");
await db.put("x", "1");
process.chdir(${JSON.stringify(`${dir}/b`)});
db.events.on("backgroundError", (e) => console.log("bg", e.activity, e.error.message));
const r = await Promise.race([db.flush().then(() => "flushed", String), new Promise((r) => setTimeout(r, 2500, "flush does not end"))]);
console.log(r); process.exit(0);`);
    const out = execFileSync(process.execPath, [`${dir}/t.mjs`], { timeout: 15000 }).toString();
    console.log(out);
    expect(out).toContain("flushed");
  });
});
