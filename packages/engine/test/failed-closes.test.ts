/**
 * Files that cannot be closed, or looked at right behind their opening: nothing else stays open, nothing
 * is thrown where nobody can hear of it, and the directory is given back.
 */
import { hashReady } from "@aura/base";
import { type PlannedFault, type SimFault, SimFs, simRuntime } from "@aura/base/testing";
import { ArenaPool } from "@aura/memtable";
import { beforeAll, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { bounded, directory, faultSettings, large } from "./support/fault-run.ts";

const runtime = simRuntime(1);
const ioError = expect.objectContaining({ code: "AURA_IO" });

beforeAll(hashReady);

const open = (fs: SimFs): Promise<AuraDB> => AuraDB.open(directory, faultSettings, { fs, runtime });

/** Nothing is held any more, and the directory can be opened: what was written is there. */
async function expectReleased(fs: SimFs): Promise<void> {
  expect(fs.openPaths()).toEqual([]);
  expect(new ArenaPool().stats().heldCount).toBe(0);
  fs.clearFaults();
  const db = await open(fs);
  expect(db.getSync("k")?.toString()).toBe(large("value "));
  await bounded("close", db.close(), runtime);
}

/** A database with a table and a value apart, that was read. */
async function filled(): Promise<{ fs: SimFs; db: AuraDB }> {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("k", large("value "));
  await bounded("flush", db.flush(), runtime);
  expect(db.getSync("k")?.toString()).toBe(large("value "));
  return { fs, db };
}

const failClose = (fs: SimFs, of: RegExp, more: Partial<SimFault> = {}): PlannedFault =>
  fs.failAt({
    at: (kind, path) => kind === "close" && of.test(path),
    error: "EIO",
    sticky: true,
    ...more,
  });

test.each([
  ["manifest", /manifest$/],
  ["log", /(wal|vlog)$/],
  ["file", /./],
])("a close of the database that cannot close a %s says so, and lets go of all", async (_, of) => {
  const { fs, db } = await filled();
  db.putSync("in a log", "1");
  const planned = failClose(fs, of);
  await expect(bounded("close", db.close(), runtime)).rejects.toEqual(ioError);
  expect(planned.fired).toBeGreaterThan(0);
  await expectReleased(fs);
});

test("tables and values that a merge replaced need not be closed without an error", async () => {
  const { fs, db } = await filled();
  for (let i = 0; i < 4; i++) {
    db.putSync("k", large(`${i} `));
    await bounded("flush", db.flush(), runtime);
    expect(db.getSync("k")?.toString()).toBe(large(`${i} `));
  }
  db.putSync("k", large("value "));
  await bounded("flush", db.flush(), runtime);
  // Files that are written are spared: their job would fail, and be tried again.
  const created = new Set<string>();
  fs.failAt({ at: (kind, path) => kind === "create" && created.add(path) && false });
  const planned = fs.failAt({
    at: (kind, path) => kind === "close" && /(sst|vlog|seg)$/.test(path) && !created.has(path),
    error: "EIO",
    sticky: true,
  });
  await bounded("compact", db.compact(), runtime);
  await bounded("idle", db.idle(), runtime);
  expect(planned.fired).toBeGreaterThan(1);
  expect(db.getSync("k")?.toString()).toBe(large("value "));
  await bounded("close", db.close(), runtime);
  await expectReleased(fs);
});

test("nor a manifest that another one took the place of", async () => {
  const { fs, db } = await filled();
  // A sync of the manifest that fails has another one made.
  fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith("manifest"), error: "EIO" });
  const planned = failClose(fs, /manifest$/, { sticky: false });
  db.putSync("other", "1");
  await bounded("flush", db.flush(), runtime);
  expect(planned.fired).toBe(1);
  await bounded("idle", db.idle(), runtime);
  await bounded("close", db.close(), runtime);
  await expectReleased(fs);
});

test("a table that is made anew and cannot be closed fails its job alone", async () => {
  const { fs, db } = await filled();
  const planned = failClose(fs, /sst$/, { sticky: false });
  db.putSync("other", large("o "));
  await bounded("flush", db.flush(), runtime);
  expect(planned.fired).toBe(1);
  await bounded("close", db.close(), runtime);
  await expectReleased(fs);
});

test("an open that fails behind its new manifest leaves nothing open", async () => {
  const { fs, db } = await filled();
  await bounded("close", db.close(), runtime);
  let current = false;
  const planned = fs.failAt({
    at: (kind, path) => {
      if (kind === "rename" && path.endsWith("CURRENT")) current = true;
      return current && kind === "list";
    },
    error: "EIO",
  });
  await expect(open(fs)).rejects.toEqual(ioError);
  expect(planned.fired).toBe(1);
  await expectReleased(fs);
});

test("an open that cannot look for its reserve goes on without", async () => {
  const { fs, db } = await filled();
  await bounded("close", db.close(), runtime);
  const planned = fs.failAt({
    at: (kind, path) => kind === "stat" && path.endsWith("BALLAST"),
    error: "EIO",
  });
  const again = await open(fs);
  expect(planned.fired).toBe(1);
  await bounded("close", again.close(), runtime);
  await expectReleased(fs);
});
