/** `table.paranoid`: a table that the disk does not give back as it was written is never installed. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";

const keyOf = (i: number): string => `key-${i}`;

interface Damaged {
  readonly db: AuraDB;
  readonly runtime: ReturnType<typeof simRuntime>;
  readonly errors: unknown[];
}

/** Opens a database whose file system changes one bit of the first table that is synced. */
async function open(paranoid: boolean): Promise<Damaged> {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const settings: Settings = { table: { paranoid }, compaction: { automatic: false } };
  const db = await AuraDB.open("/db", settings, { fs, runtime });
  for (let i = 0; i < 500; i++) db.putSync(keyOf(i), `value ${i}`);
  let isDamaged = false;
  fs.failAt({
    at: (kind, path) => {
      if (kind === "sync" && path.endsWith(".sst") && !isDamaged) {
        isDamaged = true;
        fs.flipBits(path, 1000, 4);
      }
      return false;
    },
    error: "EIO",
  });
  const errors: unknown[] = [];
  db.events.on("backgroundError", ({ error }) => errors.push(error));
  return { db, runtime, errors };
}

test("a table that does not read as it was written fails its flush, which is tried again", async () => {
  const { db, runtime, errors } = await open(true);
  let isDone = false;
  const flushing = db.flush().then(() => {
    isDone = true;
  });
  for (let turn = 0; turn < 1000 && !isDone; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    runtime.advance(100);
  }
  await flushing;
  expect(errors).toEqual([expect.objectContaining({ code: "AURA_CORRUPTION" })]);
  expect(db.stats().levels[0]).toMatchObject({ runs: 1, entries: 500 });
  for (let i = 0; i < 500; i++) expect(db.getSync(keyOf(i))?.toString()).toBe(`value ${i}`);
  await db.close();
});

test("without it the damage is found when the block is read", async () => {
  const { db, errors } = await open(false);
  await db.flush();
  expect(errors).toEqual([]);
  const all = (): void => {
    for (let i = 0; i < 500; i++) db.getSync(keyOf(i));
  };
  expect(all).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
  await db.close();
});
