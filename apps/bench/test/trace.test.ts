/** Traces of every kind that can be replayed: what they become, and what is said of a bad line. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { AuraDB, WriteBatch } from "@aura/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LINE_BYTES_MAX } from "../src/trace/line-chunk.ts";
import { readTrace } from "../src/trace/read-trace.ts";
import type { TraceOp } from "../src/trace/trace-op.ts";

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(`${tmpdir()}/aura-trace-`);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

let files = 0;

function fileOf(content: string | Uint8Array): string {
  const path = `${folder}/${files++}`;
  writeFileSync(path, content);
  return path;
}

async function opsOf(path: string): Promise<TraceOp[]> {
  const ops: TraceOp[] = [];
  for await (const chunk of readTrace(path)) ops.push(...chunk);
  return ops;
}

/** The operations with their keys as text. */
async function plainOps(path: string): Promise<object[]> {
  return (await opsOf(path)).map(({ key, end, ...rest }) => ({
    key: Buffer.from(key).toString("latin1"),
    ...rest,
    ...(end && { end: Buffer.from(end).toString("latin1") }),
  }));
}

function malformed(path: string, line: number, expected: RegExp): object {
  return expect.objectContaining({
    code: "AURA_CORRUPTION",
    file: path,
    message: expect.stringMatching(
      new RegExp(`^${path}:${line}: expected .*${expected.source}`),
    ) as string,
  }) as object;
}

const op = (atUs: number, kind: string, key: string, more: object = {}): object => ({
  ...{ atUs, kind, key, valueBytes: 0, limit: 0, group: -1 },
  ...more,
});

describe("RocksDB's human-readable trace", () => {
  const lines = [
    "0x6B31 1 0 300 1533000630000000", // put
    "0x6B31 0 0 0 1533000630000250", // get
    "0x61 1 0 9 1533000630001000", // a batch: put, merge, delete, single delete, range delete
    "0x62 5 0 20 1533000630001000",
    "0x63 2 0 0 1533000630001000",
    "0x64 3 0 0 1533000630001000",
    "0x65 4 0 0 1533000630001000",
    "0x61 8 0 0 1533000630002000", // a multi-get
    "0x6566 8 0 0 1533000630002000",
    "0x61 6 0 0 1533000630002000", // a seek, and one backwards
    "0x62 7 0 0 1533000630003000",
    "0x 0 0 0 1533000630002999", // the empty key, a little late
    "0x6b 0 7 0 1533000640000000", // another column family
  ];
  const expected = [
    op(0, "put", "k1", { valueBytes: 300 }),
    op(250, "get", "k1"),
    op(1000, "put", "a", { valueBytes: 9, group: 0 }),
    op(1000, "merge", "b", { valueBytes: 20, group: 0 }),
    op(1000, "delete", "c", { group: 0 }),
    op(1000, "delete", "d", { group: 0 }),
    op(1000, "deleteRange", "e", { group: 0 }),
    op(2000, "getMany", "a", { group: 1 }),
    op(2000, "getMany", "ef", { group: 1 }),
    op(2000, "scan", "a", { limit: 1 }),
    op(3000, "scan", "b\0", { limit: 1, reverse: true }),
    op(3000, "get", ""),
    op(10_000_000, "get", "\0\0\0\x07k"),
  ];

  test("becomes operations, those of one call together", async () => {
    expect(await plainOps(fileOf(`${lines.join("\n")}\n`))).toEqual(expected);
  });

  test("with the key last, as the first builds wrote it; without a last newline; with returns", async () => {
    const turned = lines.map((line) => {
      const [key = "", ...rest] = line.split(" ");
      return [...rest, key].join(" ");
    });
    expect(await plainOps(fileOf(turned.join("\n")))).toEqual(expected);
    expect(await plainOps(fileOf(lines.join("\r\n")))).toEqual(expected);
  });

  test.each([
    "0x6B3 0 0 0 1",
    "0x6B31 9 0 0 1",
    "0x6B31 0 0 0",
    "0x6B31 0 0 0 1 1",
    "0x6G31 0 0 0 1",
    "6B31 0 0 0 1",
    "0x6B31 0 0 -1 1",
    "0x6B31 0 0 1e3 1",
    "0x6B31 0 0 0 99999999999999999",
    "",
    " ",
  ])("names the place of %j", async (line) => {
    const path = fileOf(`${lines.slice(0, 3).join("\n")}\n${line}\n${lines[0]}\n`);
    await expect(opsOf(path)).rejects.toEqual(malformed(path, 4, /0x key.*got "/));
  });

  test("a key that is too long, a line that never ends, a trace without keys", async () => {
    const long = fileOf(`${lines[0]}\n0x${"61".repeat(65536)} 0 0 0 1\n`);
    await expect(opsOf(long)).rejects.toEqual(malformed(long, 2, /key of at most 65535/));
    const endless = fileOf(`${lines[0]}\n0x${"61".repeat(LINE_BYTES_MAX * 4)}`);
    await expect(opsOf(endless)).rejects.toEqual(malformed(endless, 2, /line of at most/));
    const bare = fileOf("1 0 300 1533000630000000\n");
    await expect(opsOf(bare)).rejects.toThrow(/-no_key/);
  });

  test("of many chunks: every line once, in order, the groups across chunks", async () => {
    const count = 60_000;
    let text = "";
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`key-${i}`.padEnd(40, "-")).toString("hex");
      text += `0x${key} 1 0 ${i} ${5_000_000 + Math.floor(i / 3)}\n`;
    }
    const ops = await opsOf(fileOf(text));
    expect(ops).toHaveLength(count);
    const wrong = ops.findIndex(
      ({ key, valueBytes, group, atUs }, i) =>
        valueBytes !== i ||
        group !== Math.floor(i / 3) ||
        atUs !== Math.floor(i / 3) ||
        Buffer.from(key).toString() !== `key-${i}`.padEnd(40, "-"),
    );
    expect(wrong).toBe(-1);
  });
});

describe("Twitter's cache trace", () => {
  const operations = [
    ["get", "get"],
    ["gets", "get"],
    ["set", "put"],
    ["add", "put"],
    ["replace", "put"],
    ["cas", "put"],
    ["append", "merge"],
    ["prepend", "merge"],
    ["incr", "merge"],
    ["decr", "merge"],
    ["delete", "delete"],
  ] as const;

  test.each(operations)("%s is a %s", async (operation, kind) => {
    const path = fileOf(`7,nz:u:eeW511W3,13,213,4,${operation},0\n9,k,1,5,4,${operation},60\n`);
    const sizes = kind === "put" || kind === "merge";
    expect(await plainOps(path)).toEqual([
      op(0, kind, "nz:u:eeW511W3", { valueBytes: sizes ? 213 : 0 }),
      op(2_000_000, kind, "k", { valueBytes: sizes ? 5 : 0 }),
    ]);
  });

  test("keys are as long as their size says, and may hold commas and spaces", async () => {
    const path = fileOf("0,a,b c,9,0,1,get,0\n0,longer,2,0,1,get,0\n0,,0,0,1,get,0");
    expect(await plainOps(path)).toEqual([
      op(0, "get", "a,b c\0\0\0\0"),
      op(0, "get", "longer"),
      op(0, "get", ""),
    ]);
  });

  test.each([
    "1,k,1,5,4,fetch,0",
    "1,k,1,5,4,get",
    "1,k,one,5,4,get,0",
    "1,k,1,,4,get,0",
    "1,k,1,5,4,get,never",
    "x,k,1,5,4,get,0",
    "1",
    "",
    "0x6B31 0 0 0 1",
  ])("names the place of %j", async (line) => {
    const path = fileOf(`0,k,1,5,4,get,0\n${line}\n`);
    await expect(opsOf(path)).rejects.toEqual(malformed(path, 2, /<seconds>.*got "/));
  });

  test("a key that no store takes", async () => {
    const path = fileOf("0,k,70000,5,4,get,0\n");
    await expect(opsOf(path)).rejects.toEqual(malformed(path, 1, /key of at most 65535/));
  });
});

describe("an AuraDB trace", () => {
  async function recorded(
    work: (db: AuraDB) => Promise<void>,
    options: { keys?: "hashed" } = {},
  ): Promise<string> {
    const place = mkdtempSync(`${folder}/db-`);
    const db = await AuraDB.open(`${place}/db`, { compaction: { automatic: false } });
    for (let i = 0; i < 50; i++) db.putSync(`k${String(i).padStart(2, "0")}`, "v");
    const trace = db.trace(`${place}/trace`, options);
    await work(db);
    const { dropped } = await trace.stop();
    expect(dropped).toBe(0);
    await db.close();
    return trace.file;
  }
  const timeless = (ops: object[]): object[] => ops.map((one) => ({ ...one, atUs: 0 }));

  test("becomes operations: scans with what they took, cursors by their seeks", async () => {
    const path = await recorded(async (db) => {
      await db.put("p", "12345");
      db.deleteSync("p");
      await db.has("k01");
      const cursor = db.cursor({ gte: "k10", lt: "k40" });
      cursor.seekSync("k20");
      cursor.nextSync();
      await db.get("k02");
      await cursor.last();
      await db.write(new WriteBatch().put("a", "1").delete("b"));
      await db.getMany(["k03", "k04"]);
      for await (const [key] of db.scan({ prefix: "k1" })) if (key.toString() === "k14") break;
      for (const _ of db.keysSync({ gt: "k47", reverse: true })) void _;
      for (const _ of db.scanSync({ gte: "z" })) void _;
      cursor.close();
      db.scan({ limit: 8 })
        .next()
        .catch(() => undefined);
    });
    expect(timeless(await plainOps(path))).toEqual([
      op(0, "put", "p", { valueBytes: 5 }),
      op(0, "delete", "p"),
      op(0, "get", "k01"),
      op(0, "scan", "k20", { limit: 2, end: "k40" }),
      op(0, "get", "k02"),
      op(0, "scan", "k40", { limit: 1, end: "k10", reverse: true }),
      op(0, "put", "a", { valueBytes: 1, group: 0 }),
      op(0, "delete", "b", { group: 0 }),
      op(0, "getMany", "k03", { group: 1 }),
      op(0, "getMany", "k04", { group: 1 }),
      op(0, "scan", "k1", { limit: 5, end: "k2" }),
      op(0, "scan", "", { limit: 2, end: "k47\0", reverse: true }),
      op(0, "scan", "z", { limit: 1 }),
      // Never ended: the limit that it was called with.
      op(0, "scan", "", { limit: 8 }),
    ]);
  });

  test("holds back no more than it must: a scan that stays open does not hold up the rest", async () => {
    const path = await recorded(async (db) => {
      const scan = db.scan();
      await scan.next();
      for (let i = 0; i < 100_000; i++) {
        db.hasSync("k");
        if (i % 5000 === 0) await new Promise(setImmediate);
      }
      await scan.return();
    });
    const sizes: number[] = [];
    let first: TraceOp | undefined;
    for await (const chunk of readTrace(path)) {
      sizes.push(chunk.length);
      first ??= chunk[0];
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(100_001);
    expect(Math.max(...sizes)).toBeLessThan(80_000);
    expect(first).toMatchObject({ kind: "scan", limit: Number.POSITIVE_INFINITY });
  });

  test("that was cut ends there; one that is damaged says so", async () => {
    const path = await recorded(async (db) => {
      for (let i = 0; i < 30_000; i++) {
        db.hasSync(`key-${Math.imul(i, 0x9e3779b1)}`);
        if (i % 1000 === 0) await new Promise(setImmediate);
      }
    });
    expect(await opsOf(path)).toHaveLength(30_000);
    const { readFileSync } = await import("node:fs");
    const bytes = readFileSync(path);
    truncateSync(path, bytes.length - 100);
    const cut = await opsOf(path);
    expect(cut.length).toBeGreaterThan(10_000);
    expect(cut.length).toBeLessThan(30_000);
    bytes[bytes.length - 100]! ^= 1;
    await expect(opsOf(fileOf(bytes))).rejects.toThrow(
      expect.objectContaining({ code: "AURA_CORRUPTION" }),
    );
  });
});

describe("a file that is none of them", () => {
  test.each([
    ["an empty one", "", /expected an AuraDB trace/],
    ["text", "hello\n", /Twitter's cache trace.*got "hello"/],
    ["zstd", Buffer.from("28b52ffd00", "hex"), /zstd -d/],
    ["gzip", Buffer.from("1f8b0800", "hex"), /gunzip/],
  ])("%s", async (_, content, message) => {
    const path = fileOf(content);
    await expect(opsOf(path)).rejects.toThrow(message);
    await expect(opsOf(path)).rejects.toEqual(expect.objectContaining({ file: path }));
  });

  test("one that is not there", async () => {
    await expect(opsOf(`${folder}/none`)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
