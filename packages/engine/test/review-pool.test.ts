import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { withDirectory, openReal } from "./support/open-real.ts";

test("two large groups with a read between", async () => {
  await withDirectory(async (dir) => {
    const db = await openReal(dir);
    const v = "y".repeat(700);
    const errors: string[] = [];
    let ok = 0;
    const group = (p: string) => { const all: Promise<void>[] = []; for (let i = 0; i < 2000; i++) all.push(db.put(`${p}${i}`, v).then(() => { ok++; }, (e) => { if (errors.length < 3) errors.push(String(e)); })); return all; };
    const one = group("a");
    await null; await null; // group one leaves on the pool
    expect(db.getSync("a0")?.length).toBe(700); // lands it from this thread
    const two = group("b");
    await Promise.all([...one, ...two]);
    console.log("ok", ok, errors);
    await db.close().catch((e) => console.log("close", String(e)));
    expect(errors).toEqual([]);
  });
});
