/** The look at a full volume: it does not fail when the volume does not tell how full it is. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
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
