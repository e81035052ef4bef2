/** A run of no tables: a cursor over it stands nowhere, whatever it is asked. */
import { expect, test } from "vitest";
import { RunCursor } from "../src/run-cursor.ts";

test("a cursor over a run without tables holds no entry and no bytes", async () => {
  const open = (): never => {
    throw new Error("there is no table to open");
  };
  const cursor = new RunCursor([], open, { mayRead: true });
  const key = Buffer.from("key");
  const moves = [
    () => cursor.first(),
    () => cursor.last(),
    () => cursor.seek(key, 0, key.length),
    () => cursor.seekBefore(key, 0, key.length),
    () => cursor.loadSync(),
    () => cursor.load(),
  ];
  for (const move of moves) {
    await move();
    expect(cursor.valid).toBe(false);
    expect(cursor.pending).toBe(false);
    expect(cursor.failed).toBe(false);
    expect([cursor.keyStart, cursor.keyEnd, cursor.valueStart, cursor.valueEnd]).toEqual([
      0, 0, 0, 0,
    ]);
    expect([cursor.seq, cursor.tag]).toEqual([0, 0]);
    expect([cursor.keyBytes.length, cursor.valueBytes.length]).toEqual([0, 0]);
  }
  expect(() => cursor.next()).toThrow(/needs an entry/);
  expect(() => cursor.prev()).toThrow(/needs an entry/);
  cursor.close();
});
