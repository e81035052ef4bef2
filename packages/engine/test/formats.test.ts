/** The bytes of the engine's own formats: worked examples, and damage at every byte. */
import { FileType } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { readLog } from "@aura/wal";
import { describe, expect, test } from "vitest";
import { ByteBuffer, ByteReader } from "../src/byte-buffer.ts";
import { decodeEdit, EDIT_CLASS, encodeEdit } from "../src/edit-format.ts";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { decodePreamble, encodePreamble } from "../src/log-preamble.ts";
import { readManifest } from "../src/manifest.ts";
import { OperationReader } from "../src/operations.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const settings: Settings = {
  seed: 5,
  valueLog: { separationThreshold: 100 },
  memtable: { maxSize: 262144 },
  compaction: { automatic: false },
};

function open(fs: SimFs): Promise<AuraDB> {
  return AuraDB.open("/db", settings, { fs, runtime: simRuntime(9) });
}

describe("worked examples", () => {
  test("a group of a put and a delete (docs/formats/group.md)", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 1; i < 7; i++) db.putSync(`${i}`, "");
    db.writeSync(new WriteBatch().put("k", "v").delete("q"));
    const [path] = fs.list("/db").filter((name) => name.endsWith(".wal"));
    const log = readLog(fs, path!);
    while (log.next() && log.first < 7);
    expect({ first: log.first, count: log.count }).toEqual({ first: 7, count: 2 });
    const payload = Buffer.from(log.bytes.subarray(log.coveredStart, log.attachedEnd));
    expect(payload.toString("hex")).toBe(hex("01 00 01 6b 01 76 00 00 01 71").toString("hex"));
    expect(log.header.type).toBe(FileType.wal);
    log.closeSync();
    await db.close();
  });

  test("the first record of an empty database (docs/formats/manifest.md)", async () => {
    const record = hex("01 00000000 02 01 02 04 07 00000000000000 06 08 00 00000000000000");
    const out = new ByteBuffer();
    out.u8(EDIT_CLASS);
    out.u32(0);
    encodeEdit(out, { nextNumber: 2, lastSeq: 0, flushedSeq: 0 });
    expect(Buffer.from(out.copy()).toString("hex")).toBe(record.toString("hex"));
    // And as an open writes it.
    const fs = new SimFs();
    const db = await open(fs);
    const log = readLog(fs, "/db/000001.manifest");
    expect(log.next()).toBe(true);
    const written = Buffer.from(log.bytes.subarray(log.coveredStart, log.coveredEnd));
    expect(written.toString("hex")).toBe(record.toString("hex"));
    expect({ first: log.first, count: log.count }).toEqual({ first: 1, count: 1 });
    log.closeSync();
    await db.close();
    expect(fs.readFile("/db/CURRENT").length).toBe(64);
  });

  test("a preamble with everything in it", () => {
    const preamble = {
      createdAtSeq: 300,
      bootId: "boot",
      predecessor: { number: 5, bytes: 200, lastSeq: 299, checksum: 0x04030201 },
      voids: [{ first: 7, last: 8 }],
      poisoned: [{ number: 5, validBytes: 130 }],
      valuesAlone: true,
    };
    const bytes = encodePreamble(preamble);
    expect(Buffer.from(bytes).toString("hex")).toBe(
      hex(
        "2c010000000000 04 626f6f74 05 c801 2b010000000000 01020304 " +
          "01 07000000000000 08000000000000 01 05 8201 01",
      ).toString("hex"),
    );
    expect(decodePreamble(new ByteReader(bytes, "log", 0))).toEqual(preamble);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodePreamble(new ByteReader(bytes.subarray(0, length), "log", 0))).toThrow(
        expect.objectContaining({ code: "AURA_CORRUPTION" }),
      );
    }
  });
});

test("an edit is whole or refused at every length; an unknown field that matters is refused", () => {
  const edit = {
    nextNumber: 300,
    lastSeq: 2 ** 40,
    flushedSeq: 77,
    removed: [{ level: 1, number: 9 }],
    segmentChanges: [
      {
        number: 4,
        kind: "vlog" as const,
        totalCount: 3,
        totalBytes: 500,
        deadCount: 1,
        deadBytes: 9,
      },
    ],
    segmentSeals: [{ number: 4, fileBytes: 700, lastSeq: 76 }],
    segmentsRemoved: [3],
    logs: [{ number: 8, kind: "wal" as const, validBytes: 99, lastSeq: 80 }],
    voids: [{ first: 5, last: 6 }],
    clean: { lastSeq: 80, files: [{ name: "000008.wal", bytes: 99 }] },
  };
  const out = new ByteBuffer();
  encodeEdit(out, edit);
  const bytes = out.copy();
  expect(decodeEdit(new ByteReader(bytes, "m", 0))).toMatchObject(edit);
  let refused = 0;
  for (let length = 0; length < bytes.length; length++) {
    // The fields stand one behind the other: a cut between two of them is the frame's to notice.
    try {
      decodeEdit(new ByteReader(bytes.subarray(0, length), "m", 0));
    } catch (error) {
      expect((error as { code: string }).code).toBe("AURA_CORRUPTION");
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(bytes.length - 12);
  const odd = Buffer.concat([bytes, hex("7f 02 aa bb")]);
  expect(decodeEdit(new ByteReader(odd, "m", 0))).toMatchObject(edit);
  const even = Buffer.concat([bytes, hex("7e 02 aa bb")]);
  expect(() => decodeEdit(new ByteReader(even, "m", 0))).toThrow(
    expect.objectContaining({ code: "AURA_UNSUPPORTED" }),
  );
});

test("operations cut anywhere, or of an unknown kind or keyspace, are refused", () => {
  const bytes = hex("01 00 01 6b 01 76 00 00 01 71 02 00 01 70 00 0a 0a 00");
  const walk = (source: Uint8Array): number => {
    const reader = new OperationReader();
    reader.reset(source, 0, source.length, "log", 0);
    let count = 0;
    while (reader.next()) count++;
    return count;
  };
  expect(walk(bytes)).toBe(3);
  const whole = [0, 6, 10, bytes.length];
  for (let length = 0; length <= bytes.length; length++) {
    const cut = bytes.subarray(0, length);
    if (whole.includes(length)) expect(walk(cut)).toBe(whole.indexOf(length));
    else expect(() => walk(cut)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
  }
  for (const [at, value] of [
    [0, 6],
    [0, 0x41],
    [1, 1],
    [2, 0xff],
  ] as const) {
    const bad = Buffer.from(bytes);
    bad[at] = value;
    expect(() => walk(bad)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
  }
});

// Damage.

type Entry = readonly [key: string, value: string | undefined];

/** The writes of the damaged database in order; the first `durable` of them were synced. */
const HISTORY: readonly Entry[] = [
  ["a", "flushed"],
  ["big", "flushed big ".repeat(9)],
  ["b", "synced"],
  ["big", "synced big ".repeat(10)],
  ["a", undefined],
  ["c", "last"],
  ["big2", "last big ".repeat(12)],
];
const DURABLE = 5;

function stateAfter(count: number): Map<string, string> {
  const state = new Map<string, string>();
  for (const [key, value] of HISTORY.slice(0, count)) {
    if (value === undefined) state.delete(key);
    else state.set(key, value);
  }
  return state;
}

/** A database with tables, a segment, and logs with durable and not yet durable writes. */
async function makeDatabase(): Promise<{ killed: SimFs; powerless: SimFs; closed: SimFs }> {
  const fs = new SimFs();
  const db = await open(fs);
  const put = async ([key, value]: Entry): Promise<void> => {
    if (value === undefined) await db.delete(key);
    else await db.put(key, value);
  };
  for (const entry of HISTORY.slice(0, 2)) await put(entry);
  await db.flush();
  for (const entry of HISTORY.slice(2, DURABLE)) await put(entry);
  await db.sync();
  for (const entry of HISTORY.slice(DURABLE)) await put(entry);
  const killed = fs.processKill();
  const powerless = fs.crash({ data: "all", names: "all" });
  await db.close();
  return { killed, powerless, closed: fs };
}

function contents(fs: SimFs): Map<string, string> {
  return new Map(fs.list("/db").map((path) => [path, fs.readFile(path).toString("latin1")]));
}

/**
 * Opens a damaged copy. Returns what became of it: refused (and then untouched), or the writes
 * that are there, or undefined when something else is there.
 */
async function outcome(
  fs: SimFs,
): Promise<{ refused?: string; states?: number[]; wrong?: string }> {
  const before = contents(fs);
  let db: AuraDB;
  try {
    db = await open(fs);
  } catch (error) {
    const { code } = error as { code: string };
    expect(["AURA_CORRUPTION", "AURA_UNSUPPORTED"]).toContain(code);
    expect(fs.openPaths()).toEqual([]);
    // LOCK is the only file that an open that refuses may have made.
    const after = contents(fs);
    after.delete("/db/LOCK");
    before.delete("/db/LOCK");
    if ([...after].join() !== [...before].join()) return { wrong: "files changed" };
    return { refused: code };
  }
  try {
    const found = new Map<string, string>();
    for (const [key, value] of db.scanSync()) found.set(key.toString(), value.toString());
    const text = [...found].join();
    const states: number[] = [];
    for (let count = 0; count <= HISTORY.length; count++) {
      if ([...stateAfter(count)].sort().join() === text) states.push(count);
    }
    return states.length === 0 ? { wrong: text } : { states };
  } catch (error) {
    const { code } = error as { code: string };
    expect(code).toBe("AURA_CORRUPTION");
    return { refused: code };
  } finally {
    await db.close().catch(() => undefined);
  }
}

/** Every how manieth byte is damaged; the first state gets all. AURA_EVERY_BYTE=1: all of them. */
const STRIDE = process.env["AURA_EVERY_BYTE"] === "1" ? 1 : 5;

const KINDS = ["CURRENT", ".manifest", ".wal", ".vlog"];

describe.each(["killed", "powerless", "closed"] as const)("a database that was %s", (name) => {
  test("a flipped bit in any byte is refused, or does not matter", {
    timeout: 120_000,
  }, async () => {
    const image = (await makeDatabase())[name];
    expect(await outcome(image.processKill())).toMatchObject({ states: [HISTORY.length] });
    // Without power loss, or behind a clean close, nothing at all may be missing.
    const least = name === "powerless" ? DURABLE : HISTORY.length;
    const problems: string[] = [];
    let refusals = 0;
    let cases = 0;
    for (const path of image
      .list("/db")
      .filter((file) => KINDS.some((kind) => file.endsWith(kind)))) {
      const length = image.readFile(path).length;
      for (let offset = 0; offset < length; offset += name === "killed" ? 1 : STRIDE) {
        const copy = image.processKill();
        copy.flipBits(path, offset, 1 << (offset % 8));
        const result = await outcome(copy);
        cases++;
        if (result.refused !== undefined) refusals++;
        else if (Math.max(-1, ...(result.states ?? [])) < least) {
          problems.push(`${path} at ${offset}: ${JSON.stringify(result)}`);
        }
      }
    }
    expect(problems.slice(0, 5), `${problems.length} of ${cases}`).toEqual([]);
    expect(refusals).toBeGreaterThan(cases / 3);
  });

  test("a file cut anywhere is refused, or was not durable there", {
    timeout: 120_000,
  }, async () => {
    const image = (await makeDatabase())[name];
    const least = name === "closed" ? HISTORY.length : DURABLE;
    const problems: string[] = [];
    let cases = 0;
    for (const path of image
      .list("/db")
      .filter((file) => KINDS.some((kind) => file.endsWith(kind)))) {
      const bytes = image.readFile(path);
      for (let length = 0; length < bytes.length; length += STRIDE) {
        const copy = image.processKill();
        copy.writeFile(path, bytes.subarray(0, length));
        const result = await outcome(copy);
        cases++;
        if (result.refused === undefined && Math.max(-1, ...(result.states ?? [])) < least) {
          problems.push(`${path} cut to ${length} of ${bytes.length}: ${JSON.stringify(result)}`);
        }
      }
    }
    expect(problems.slice(0, 5), `${problems.length} of ${cases}`).toEqual([]);
  });
});

test("a missing file of a closed database is refused", async () => {
  const { closed } = await makeDatabase();
  const state = readManifest(closed, "/db")!;
  expect(state.clean?.files.length).toBeGreaterThan(0);
  const live = closed
    .list("/db")
    .filter((path) => /\.(manifest|wal|vlog|sst)$|CURRENT$/.test(path));
  for (const path of live) {
    const copy = closed.processKill();
    copy.unlinkSync(path);
    expect(await outcome(copy), path).toHaveProperty("refused");
  }
});
