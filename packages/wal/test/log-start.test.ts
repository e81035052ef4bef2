/** Whether the start of a log was torn by a power loss, and what a reader does at its end. */
import { FILE_HEADER_BYTES } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import {
  FRAME_HEADER_BYTES,
  LogWriter,
  logStartMissing,
  logStartTorn,
  readLog,
} from "../src/index.ts";
import { emptyFs, header, PATH, text, writeSmallLog } from "./support.ts";

const { databaseUuid } = header();

function torn(bytes: Uint8Array): boolean {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  const isTorn = logStartTorn(fs, PATH, databaseUuid);
  expect(fs.openHandles).toBe(0);
  return isTorn;
}

/** A log with a preamble of several sectors, and frames behind it; `durable` is what they vouch for. */
function longStart(durable: number): { whole: Buffer; preambleEnd: number } {
  const fs = emptyFs();
  const preamble = new Uint8Array(1500).fill(0x70);
  const log = LogWriter.createSync(fs, PATH, { header: header(), preamble });
  log.appendSync([text("one")], [], 1, 1, 0);
  log.appendSync([text("two")], [], 2, 1, durable);
  log.closeSync();
  const preambleEnd = FILE_HEADER_BYTES + FRAME_HEADER_BYTES + preamble.length;
  return { whole: fs.readFile(PATH), preambleEnd };
}

describe("the start of a log", () => {
  it("is torn when there is not even a header, or none of this database", () => {
    const { whole } = longStart(0);
    for (let length = 0; length < FILE_HEADER_BYTES + FRAME_HEADER_BYTES; length += 7) {
      expect(torn(whole.subarray(0, length))).toBe(true);
    }
    const garbage = Buffer.from(whole).fill(0x5c, 0, FILE_HEADER_BYTES);
    expect(torn(garbage)).toBe(true);
    // One wrong byte of a header that was written: damage.
    for (const at of [5, 12, 40]) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 1;
      expect(torn(damaged), `byte ${at}`).toBe(false);
    }
  });

  it("is not torn where its first frame lies in the sector of the header", () => {
    const fs = emptyFs();
    writeSmallLog(fs).closeSync();
    const whole = fs.readFile(PATH);
    whole[FILE_HEADER_BYTES + FRAME_HEADER_BYTES + 2]! ^= 1;
    expect(torn(whole)).toBe(false);
  });

  it("is torn when its later sectors are missing and nothing says that they were synced", () => {
    const { whole, preambleEnd } = longStart(0);
    const damaged = Buffer.from(whole).fill(0, 600, preambleEnd);
    expect(torn(damaged.subarray(0, preambleEnd))).toBe(true);
    expect(torn(damaged.subarray(0, preambleEnd - 100))).toBe(true);
    // Frames behind it came to the disk earlier; they vouch for nothing.
    expect(torn(damaged)).toBe(true);
    // A bad header of the first frame tells nothing of its length.
    const headless = Buffer.from(whole).fill(0xee, FILE_HEADER_BYTES, FILE_HEADER_BYTES + 8);
    expect(torn(headless)).toBe(false);
  });

  it("is damaged when a frame behind it vouches for what it held", () => {
    const { whole, preambleEnd } = longStart(1);
    expect(torn(Buffer.from(whole).fill(0, 600, preambleEnd))).toBe(false);
  });
});

describe("a start that reads shorter than the file is", () => {
  it("is damage, and neither missing nor torn", () => {
    const fs = emptyFs();
    writeSmallLog(fs).closeSync();
    const { databaseUuid } = header();
    fs.failAt({ at: (kind) => kind === "read", sticky: true, short: 5 });
    const damage = expect.objectContaining({ code: "AURA_CORRUPTION", offset: 5 });
    expect(() => logStartMissing(fs, PATH)).toThrow(damage);
    expect(() => logStartTorn(fs, PATH, databaseUuid)).toThrow(damage);
    expect(fs.openPaths()).toEqual([]);
  });
});

describe("a reader of a log", () => {
  const opened = (): { fs: SimFs; reader: ReturnType<typeof readLog> } => {
    const fs = emptyFs();
    writeSmallLog(fs).closeSync();
    return { fs, reader: readLog(fs, PATH) };
  };

  it("rejects the frame that it stands at, once, and none before the first or behind the end", () => {
    const { reader } = opened();
    expect(reader.next()).toBe(true);
    expect(reader.next()).toBe(true);
    const { offset } = reader;
    reader.reject("its attached part does not verify");
    const end = reader.end;
    expect(end).toMatchObject({ kind: "bad", offset, reason: "its attached part does not verify" });
    reader.reject("again");
    expect(reader.end).toBe(end);
    expect(reader.next()).toBe(false);
    reader.closeSync();
  });

  it("looks behind its end only when it has come to one", () => {
    const { reader } = opened();
    reader.scanOn();
    expect(reader.end).toBeUndefined();
    expect(reader.laterFrame).toBeUndefined();
    reader.closeSync();
  });

  it("takes a file that was cut under it for damage", () => {
    const fs = emptyFs();
    const log = LogWriter.createSync(fs, PATH, { header: header(), preamble: text("preamble") });
    const payload = new Uint8Array(300_000).fill(7);
    for (let i = 0; i < 8; i++) log.appendSync([payload], [], i + 1, 1, 0);
    const reader = readLog(fs, PATH);
    expect(reader.next()).toBe(true);
    // As if it ended where it was read to.
    fs.failAt({ at: (kind) => kind === "read", sticky: true, short: 0 });
    // No torn tail: this program wrote what is missing.
    const gone: unknown = expect.objectContaining({ code: "AURA_CORRUPTION", file: PATH });
    expect(() => {
      while (reader.next());
    }).toThrow(gone);
    fs.clearFaults();
    reader.closeSync();
    log.closeSync();
  });
});
