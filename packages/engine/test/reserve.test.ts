/** The look at a full volume, which does not fail when the volume does not tell how full it is; and the ballast. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { Reserve } from "../src/reserve.ts";

test("a volume that does not tell how full it is counts as full", () => {
  const fs = new SimFs();
  const reserve = new Reserve(fs, simRuntime(1, { tickMs: 200 }).clock, "/db");
  reserve.free();
  const silent = fs.failAt({ at: (kind) => kind === "stat", error: "EIO", sticky: true });
  expect(reserve.hasRoom()).toBe(false);
  expect(reserve.hasBytes(1)).toBe(false);
  expect(reserve.full).toBe(true);
  silent.remove();
  expect(reserve.hasRoom()).toBe(true);
  expect(reserve.full).toBe(false);
});

test("a ballast that a power loss emptied, or that was cut, is made again", async () => {
  const runtime = () => simRuntime(1, { autoAdvance: true });
  const ballast = "/db/BALLAST";
  const flushed = async (fs: SimFs): Promise<void> => {
    const db = await AuraDB.open("/db", {}, { fs, runtime: runtime() });
    db.putSync("k", "v");
    await db.flush();
    await db.close();
  };
  const fs = new SimFs();
  await flushed(fs);
  const { length } = fs.readFile(ballast);
  // Its name is durable with those of tables, its bytes are not.
  const emptied = fs.crash({ data: "none", names: "all" });
  expect(emptied.readFile(ballast).length).toBe(0);
  const cut = fs.processKill();
  cut.writeFile(ballast, Buffer.alloc(length - 1));
  for (const image of [emptied, cut]) {
    await flushed(image);
    expect(image.readFile(ballast).length).toBe(length);
  }
});
