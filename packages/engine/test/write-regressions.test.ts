/** Defects of the write path that were found by attacking it, each as it was found. */
import { once } from "node:events";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { leaveOpen } from "./support/leaks.ts";
import { openSim } from "./support/names-run.ts";

const MIB = 1024 * 1024;

test("what is buffered keeps its numbers when a large write finds no log", async () => {
  const fs = new SimFs();
  const db = await openSim(fs, { wal: { bufferedDelayMs: 60_000 } });
  for (let i = 0; i < 3; i++) db.putSync(`buf${i}`, "old", { durability: "buffered" });
  const { lastSeq } = db.stats();
  fs.failAt({
    at: (kind, path) => (kind === "write" || kind === "create") && /\.(wal|vlog)$/.test(path),
    error: "EIO",
    sticky: true,
  });
  await expect(db.put("large", Buffer.alloc(2 * MIB, 1))).rejects.toThrow();
  expect([0, 1, 2].map((i) => db.getSync(`buf${i}`)?.toString())).toEqual(["old", "old", "old"]);
  expect(db.stats().lastSeq).toBe(lastSeq);
  fs.clearFaults();
  await db.close().catch(() => undefined);
});

test("a watermark that fails half written leaves no torn end beside that of a later kill", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(3);
  const db = await AuraDB.open("/db", {}, { fs, runtime });
  db.putSync("small", "1", { sync: true });
  const wal = fs.list("/db").find((path) => path.endsWith(".wal"))!;
  const { length } = fs.readFile(wal);
  const fault = fs.failAt({ at: (kind) => kind === "write", error: "ENOSPC", partial: 9 });
  runtime.advance(50);
  expect(fault.fired).toBe(1);
  expect(fs.readFile(wal).length).toBe(length);
  // The other stream's log is the current one: a kill may leave it with half a frame.
  db.putSync("large", Buffer.alloc(4096, 1));
  const image = fs.processKill();
  const vlog = image.list("/db").find((path) => path.endsWith(".vlog"))!;
  image.writeFile(vlog, image.readFile(vlog).subarray(0, -9));
  const next = await AuraDB.open("/db", {}, { fs: image, runtime: simRuntime(4) });
  expect([...next.keysSync()].map(String)).toEqual(["small"]);
  await next.close();
  await db.close();
});

test("a write stream ends with its database, also before it has a file", async () => {
  leaveOpen();
  const fs = new SimFs();
  const first = await openSim(fs);
  const stream = first.createWriteStream("k");
  const failed = once(stream, "error");
  stream.write(Buffer.alloc(MIB, 1));
  await first.close();
  const second = await openSim(fs);
  stream.write(Buffer.alloc(8 * MIB, 2));
  expect(((await failed)[0] as { code: string }).code).toBe("AURA_CLOSED");
  await second.put("other", Buffer.alloc(2 * MIB, 3));
  expect(second.getSync("k")).toBe(undefined);
  await second.close();
  expect(fs.openPaths()).toEqual([]);
});

test("an aborted stream is not put, however large it is", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  for (const bytes of [1000, 5 * MIB]) {
    const controller = new AbortController();
    const stream = db.createWriteStream("k", { signal: controller.signal });
    const failed = once(stream, "error");
    stream.write(Buffer.alloc(bytes, 1));
    controller.abort();
    stream.end();
    expect(((await failed)[0] as { code: string }).code, `${bytes}`).toBe("AURA_ABORTED");
    expect(db.getSync("k")).toBe(undefined);
  }
  await db.close();
});
