/** What a caller does to the memory of an answer, by sending it to another thread, is nobody else's loss. */
import { SimFs } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";

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

describe.each(["memtables", "tables"])(
  "entries of %s that are transferred as they come",
  (where) => {
    test.each(["inline", "apart"])(
      "take none of those with them that follow, values %s",
      async (how) => {
        const settings = {
          seed: 1,
          valueLog: { separationThreshold: how === "apart" ? 64 : 1000 },
        };
        const db = await AuraDB.open("/db", settings, { fs: new SimFs() });
        const feed = db.changes({ since: 0 });
        for (let i = 0; i < 500; i += 50) {
          const batch = new WriteBatch();
          for (let at = i; at < i + 50; at++) batch.put(key(at), value(at));
          db.writeSync(batch);
        }
        if (where === "tables") await db.flush();
        let count = 0;
        const take = (name: Buffer, bytes: Buffer): void => {
          expect(name.toString()).toBe(key(count));
          expect(bytes.equals(value(count)), name.toString()).toBe(true);
          count = (count + 1) % 500;
          transfer(name);
          transfer(bytes);
        };
        for await (const [name, bytes] of db.scan()) take(name, bytes);
        for (const [name, bytes] of db.scanSync()) take(name, bytes);
        for await (const bytes of db.values()) take(Buffer.from(key(count)), bytes);
        for await (const name of db.keys()) take(name, value(count));
        const cursor = db.cursor();
        for (let more = cursor.firstSync(); more; more = cursor.nextSync())
          take(cursor.key, cursor.value);
        cursor.close();
        const names = Array.from({ length: 500 }, (_, i) => key(i));
        for (const bytes of await db.getMany(names)) take(Buffer.from(key(count)), bytes!);
        for await (const { changes } of feed) {
          for (const change of changes) if (change.type === "put") take(change.key, change.value);
          if (count === 0) break;
        }
        expect(count).toBe(0);
        await db.close();
      },
    );
  },
);
