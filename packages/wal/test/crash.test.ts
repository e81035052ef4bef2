import { contentHash, getU32, putU32, SeededRandom } from "@aura/base";
import { type CrashOptions, SimCrash, type SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { LogWriter, readLog } from "../src/index.ts";
import { emptyFs, header, PATH, text } from "./support.ts";

/** An attached part that verifies itself: its hash, then its bytes. */
function sealed(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(4 + length);
  for (let i = 4; i < bytes.length; i++) bytes[i] = (i * 31 + seed * 7) & 255;
  putU32(bytes, 0, contentHash(bytes, 4, bytes.length));
  return bytes;
}

interface Promises {
  /** Stamps acknowledged by an append, in order: 1 to this. */
  appended: number;
  /** Stamps acknowledged by a sync. */
  synced: number;
}

/** Appends small, large and watermark frames and syncs some; notes what it was promised. */
function work(fs: SimFs, promises: Promises): void {
  const random = new SeededRandom(6);
  const log = LogWriter.createSync(fs, PATH, { header: header(), preamble: text("preamble") });
  fs.syncDirSync("/log");
  for (let stamp = 1; stamp <= 14; stamp++) {
    const attached = random.below(3) === 0 ? [sealed(random.below(9000), stamp)] : [];
    const ops = text(`${stamp}:${"o".repeat(random.below(700))}`);
    log.appendSync([ops], attached, stamp, 1, promises.synced);
    promises.appended = stamp;
    if (random.below(4) === 0) {
      log.syncSync();
      promises.synced = stamp;
      log.appendSync([], [], stamp + 1, 0, stamp);
    }
  }
  log.closeSync();
}

interface Found {
  count: number;
  durableSeen: number;
  end: string;
}

/** Reads what is there, the way a recovery does; checks every frame. */
function recover(fs: SimFs): Found | undefined {
  if (!fs.existsSync(PATH)) return undefined;
  let reader: ReturnType<typeof readLog>;
  try {
    reader = readLog(fs, PATH);
  } catch (error) {
    expect(error).toMatchObject({ code: "AURA_CORRUPTION" });
    return undefined;
  }
  let count = 0;
  while (reader.next()) {
    const { bytes, attachedStart, attachedEnd } = reader;
    if (attachedEnd > attachedStart) {
      const hash = contentHash(bytes, attachedStart + 4, attachedEnd);
      if (hash !== getU32(bytes, attachedStart)) {
        reader.reject("attached part");
        break;
      }
    }
    if (reader.count === 0) continue;
    count++;
    expect(reader.first).toBe(count);
    const ops = Buffer.from(bytes.subarray(reader.coveredStart, reader.coveredEnd)).toString();
    expect(ops.startsWith(`${count}:`)).toBe(true);
  }
  reader.scanOn();
  reader.closeSync();
  return { count, durableSeen: reader.durableSeen, end: reader.end!.kind };
}

function run(point: number): { fs: SimFs; promises: Promises } {
  const fs = emptyFs();
  const promises = { appended: 0, synced: 0 };
  fs.crashAt(point === 0 ? 0 : 2 * fs.operations + point);
  try {
    work(fs, promises);
  } catch (error) {
    if (!(error instanceof SimCrash)) throw error;
  }
  return { fs, promises };
}

describe("a log after a crash", () => {
  const points = 2 * (run(0).fs.operations - emptyFs().operations);

  it("has every acknowledged frame after a SIGKILL, at each operation", () => {
    for (let point = 1; point <= points; point++) {
      const { fs, promises } = run(point);
      const found = recover(fs.processKill());
      const count = found?.count ?? 0;
      expect(count).toBeGreaterThanOrEqual(promises.appended);
      expect(count).toBeLessThanOrEqual(promises.appended + 1);
      if (found !== undefined) expect(found.end).toBe("clean");
    }
  });

  it("has a prefix with every synced frame after a power loss, at each operation", () => {
    const choices: CrashOptions[] = [{ data: "none" }, { data: "all" }];
    for (const gaps of ["zeros", "garbage"] as const) {
      for (let seed = 1; seed <= 6; seed++) {
        choices.push({ data: "prefix", gaps, seed }, { data: "any", gaps, seed });
      }
    }
    let cut = 0;
    for (let point = 1; point <= points; point++) {
      const { fs, promises } = run(point);
      for (const choice of choices) {
        const found = recover(fs.crash(choice));
        if (found === undefined) {
          expect(promises.synced).toBe(0);
          continue;
        }
        expect(found.count).toBeGreaterThanOrEqual(promises.synced);
        expect(found.count).toBeLessThanOrEqual(promises.appended + 1);
        // By its evidence, a loss of unsynced frames never looks like damage to synced ones.
        expect(found.durableSeen).toBeLessThanOrEqual(found.count);
        if (found.end !== "clean") cut++;
      }
    }
    expect(cut).toBeGreaterThan(100);
  });

  it("shows damage to a synced frame as such, wherever it is", () => {
    const { fs } = run(0);
    const bytes = Uint8Array.from(fs.readFile(PATH));
    const reader = readLog(fs, PATH);
    const frames: { offset: number; first: number; count: number; end: number }[] = [];
    let synced = 0;
    while (reader.next()) {
      const { offset, first, count, attachedEnd, coveredStart } = reader;
      frames.push({ offset, first, count, end: offset + 36 + attachedEnd - coveredStart });
      synced = Math.max(synced, reader.durable);
    }
    reader.closeSync();
    expect(synced).toBeGreaterThan(5);
    const random = new SeededRandom(11);
    for (const frame of frames) {
      if (frame.count === 0 || frame.first > synced) continue;
      for (let i = 0; i < 20; i++) {
        const damaged = bytes.slice();
        damaged[frame.offset + random.below(frame.end - frame.offset)]! ^= 1 << random.below(8);
        const other = emptyFs();
        other.writeFile(PATH, damaged);
        const found = recover(other)!;
        expect(found.count).toBe(frame.first - 1);
        expect(found.durableSeen).toBeGreaterThanOrEqual(frame.first);
      }
    }
  });
});
