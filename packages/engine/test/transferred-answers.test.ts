/** What a caller does to the memory of an answer, by sending it to another thread, is nobody else's loss. */
import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";

const key = (i: number): string => `k${String(i).padStart(4, "0")}`;
const value = (i: number): Buffer => Buffer.alloc(100, i % 256);

/** Tries to take the memory of an answer away, as `postMessage` with a transfer list does. */
function transfer(answer: Buffer): void {
  const memory = answer.buffer as ArrayBuffer;
  try {
    structuredClone(memory, { transfer: [memory] });
  } catch (error) {
    // From Node 21 on it is refused; before, it is copied.
    expect((error as Error).name).toBe("DataCloneError");
  }
}

test("an answer that is transferred takes neither other answers nor later ones with it", async () => {
  const db = await AuraDB.open("/db", { seed: 1 }, { fs: new SimFs() });
  for (let i = 0; i < 500; i++) db.putSync(key(i), value(i));
  await db.flush();
  const first = db.getSync(key(1))!;
  transfer(first);
  expect(first.equals(value(1))).toBe(true);
  expect(db.getSync(key(2))!.equals(value(2))).toBe(true);
  expect((await db.get(key(3)))!.equals(value(3))).toBe(true);
  const cursor = db.cursor();
  const other = db.cursor();
  const [, entry] = await cursor.nextMany(3);
  await other.nextMany(3);
  transfer(entry![1]);
  for (const one of [cursor, other]) {
    for (let i = 3; i < 500; i += 7) {
      for (const [at, [name, bytes]] of (await one.nextMany(7)).entries()) {
        expect(name.toString()).toBe(key(i + at));
        expect(bytes.equals(value(i + at)), name.toString()).toBe(true);
      }
    }
    one.close();
  }
  await db.close();
});
