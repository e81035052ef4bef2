/** A log that is read while it is written: by this thread, by the pool, and in pieces. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  contentHash,
  type FileHandle,
  type FileSystem,
  nodeFileSystem,
  SeededRandom,
} from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES, type LogReader, LogWriter, readLog } from "../src/index.ts";
import { create, emptyFs, header, PATH, text } from "./support.ts";

/** Takes all frames that are there now; attached parts must be what `attached` makes. */
function drain(reader: LogReader): string[] {
  const taken: string[] = [];
  while (reader.next()) {
    if (!attachedIsWhole(reader)) {
      reader.reject("the attached part is not whole");
      break;
    }
    taken.push(shownFrame(reader));
  }
  return taken;
}

async function drainLoaded(reader: LogReader): Promise<string[]> {
  const taken: string[] = [];
  for (;;) {
    await reader.load();
    if (!reader.next()) return taken;
    if (!attachedIsWhole(reader)) {
      reader.reject("the attached part is not whole");
      return taken;
    }
    taken.push(shownFrame(reader));
  }
}

function shownFrame({ first, count, bytes, coveredStart, attachedEnd }: LogReader): string {
  const hash = contentHash(bytes, coveredStart, attachedEnd);
  return `${first}+${count}: ${attachedEnd - coveredStart} bytes, ${hash}`;
}

/** Bytes that verify themselves: their hash, then themselves. */
function attached(random: SeededRandom, length: number): Uint8Array {
  const bytes = Buffer.alloc(4 + length);
  for (let i = 4; i < bytes.length; i++) bytes[i] = random.below(256);
  bytes.writeUInt32LE(contentHash(bytes, 4, bytes.length), 0);
  return bytes;
}

function attachedIsWhole({ bytes, attachedStart, attachedEnd }: LogReader): boolean {
  if (attachedStart === attachedEnd) return true;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.readUInt32LE(attachedStart) === contentHash(bytes, attachedStart + 4, attachedEnd);
}

/** A log of some frames of many sizes, its frames' ends, and what a reader must hand out. */
function image(random: SeededRandom, count: number): { bytes: Buffer; ends: number[] } {
  const fs = emptyFs();
  const log = create(fs);
  const ends = [log.bytes];
  for (let stamp = 1; stamp <= count; stamp++) {
    const size = [0, 3, 50, 700, 5000, 70_000][random.below(6)]!;
    const covered = new Uint8Array(1 + random.below(1 + size)).fill(stamp);
    const parts = random.below(3) === 0 ? [attached(random, random.below(1 + size))] : [];
    if (random.below(8) === 0) log.appendSync([], [], stamp, 0, stamp - 1);
    else log.appendSync([covered], parts, stamp, 1, 0);
    ends.push(log.bytes);
  }
  log.closeSync();
  return { bytes: fs.readFile(PATH), ends };
}

function framesOf(bytes: Buffer): string[] {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  const reader = readLog(fs, PATH);
  try {
    return drain(reader);
  } finally {
    reader.closeSync();
  }
}

describe("a reader at the end of a live log", () => {
  it("goes on after each append, and reads nothing twice", () => {
    const fs = emptyFs();
    const log = create(fs);
    const reader = readLog(fs, PATH, { live: true });
    for (let stamp = 1; stamp <= 20; stamp++) {
      expect(reader.next()).toBe(false);
      expect(reader.end).toMatchObject({ kind: "clean", offset: log.bytes });
      log.appendSync([text(`frame ${stamp}`)], [], stamp, 1, 0);
      expect(reader.next()).toBe(false);
      reader.resume();
      expect(reader.next()).toBe(true);
      expect(reader.first).toBe(stamp);
      expect(reader.nextOffset).toBe(log.bytes);
    }
    reader.resume(); // not at an end: nothing happens
    expect(reader.next()).toBe(false);
    reader.closeSync();
    log.closeSync();
  });

  it("sees frames take the place of zeros, in a file that keeps its size, and the zeros go", async () => {
    const fs = emptyFs();
    const log = create(fs);
    await log.zeroFillAhead(100_000);
    const reader = readLog(fs, PATH, { live: true });
    const { fileBytes } = reader;
    for (let stamp = 1; stamp <= 5; stamp++) {
      reader.resume();
      expect(reader.next()).toBe(false);
      expect(reader.end?.kind).toBe("zeros");
      log.appendSync([text("a frame")], [], stamp, 1, 0);
      reader.resume();
      expect(drain(reader)).toHaveLength(1);
    }
    expect(reader.fileBytes).toBe(fileBytes);
    log.trimSync();
    reader.resume();
    expect(reader.next()).toBe(false);
    expect(reader.end).toMatchObject({ kind: "clean", offset: log.bytes });
    expect(reader.fileBytes).toBe(log.bytes);
    reader.closeSync();
    log.closeSync();
  });

  it("does not take a file for damaged whose zeros are cut off while it reads", async () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("one")], [], 1, 1, 0);
    await log.zeroFillAhead(300_000);
    const live = readLog(fs, PATH, { live: true });
    const still = readLog(fs, PATH);
    expect(live.next() && still.next()).toBe(true);
    // Longer than what either has in memory.
    log.appendSync([new Uint8Array(100_000)], [], 2, 1, 0);
    log.trimSync();
    expect(live.next()).toBe(false);
    live.resume();
    expect(live.next()).toBe(true);
    expect(live.next()).toBe(false);
    expect(live.end?.kind).toBe("clean");
    live.closeSync();
    still.closeSync();
    log.closeSync();
    const cut = readLog(fs, PATH, { live: true });
    const handle = fs.openSync(`${PATH}.2`, "create");
    handle.writeSync(fs.readFile(PATH), 0);
    const shrinking = readLog(fs, `${PATH}.2`, { live: true });
    const strict = readLog(fs, `${PATH}.2`);
    handle.truncateSync(cut.nextOffset + 40);
    expect(() => strict.next() && strict.next()).toThrow(/shorter/);
    expect(shrinking.next() && shrinking.next()).toBe(false);
    for (const reader of [cut, shrinking, strict]) reader.closeSync();
    handle.closeSync();
  });

  it("stops before a known end, whatever stands behind it, until it is told of a new one", () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("one")], [], 1, 1, 0);
    const known = log.bytes;
    log.appendSync([text("two")], [], 2, 1, 0);
    const reader = readLog(fs, PATH, { live: true, validBytes: known });
    expect(drain(reader)).toHaveLength(1);
    reader.resume(known);
    expect(drain(reader)).toHaveLength(0);
    expect(reader.end?.kind).toBe("clean");
    reader.resume(log.bytes);
    expect(drain(reader)).toHaveLength(1);
    reader.resume(log.bytes + 1);
    expect(reader.next()).toBe(false);
    expect(reader.end?.kind).toBe("truncated");
    reader.closeSync();
    log.closeSync();
  });

  it("begins where it is told, and passes over stamps that are not wanted unread", async () => {
    const fs = emptyFs();
    const log = create(fs);
    const offsets: number[] = [];
    for (let stamp = 1; stamp <= 9; stamp++) {
      offsets.push(log.appendSync([new Uint8Array(3_000_000)], [], stamp, 1, stamp - 1));
    }
    const before = fs.bytesRead;
    const reader = readLog(fs, PATH, { above: 7 });
    expect(reader.next()).toBe(true);
    expect(reader.first).toBe(8);
    expect(reader.durableSeen).toBe(7);
    expect(fs.bytesRead - before).toBeLessThan(12_000_000);
    const loading = readLog(fs, PATH, { above: 8 });
    await loading.load();
    const reads = fs.bytesRead;
    expect(loading.next()).toBe(true);
    expect(fs.bytesRead).toBe(reads);
    expect(loading.first).toBe(9);
    const late = readLog(fs, PATH, { startAt: offsets[5]! });
    expect(late.next()).toBe(true);
    expect(late.first).toBe(6);
    expect(() => readLog(fs, PATH, { startAt: 10 })).toThrow(/preamble/);
    for (const open of [reader, loading, late]) open.closeSync();
    log.closeSync();
    expect(fs.openPaths()).toEqual([]);
  });

  it("reads little when little is new, and keeps no large frame's memory", () => {
    const fs = emptyFs();
    const log = create(fs);
    const reader = readLog(fs, PATH, { live: true });
    log.appendSync([new Uint8Array(5_000_000)], [], 1, 1, 0);
    drain(reader);
    reader.resume();
    expect(drain(reader)).toHaveLength(1);
    const before = fs.bytesRead;
    for (let stamp = 2; stamp < 102; stamp++) {
      log.appendSync([text("small")], [], stamp, 1, 0);
      reader.resume();
      expect(drain(reader)).toHaveLength(1);
      expect(reader.bytes.length).toBeLessThanOrEqual(1024 * 1024);
    }
    expect(fs.bytesRead - before).toBeLessThan(100 * 16_384);
    reader.closeSync();
    log.closeSync();
  });
});

/** Brings `final` into a file piece by piece, in a way a writer could. */
class Pieces {
  readonly #file: FileHandle;
  readonly #final: Buffer;
  readonly #ends: readonly number[];
  readonly #random: SeededRandom;
  /** Pieces of the frame under way, in the order in which they will be written. */
  #pieces: (readonly [start: number, end: number])[] = [];
  #frame = 0;
  #size: number;

  constructor(file: FileHandle, final: Buffer, ends: readonly number[], random: SeededRandom) {
    this.#file = file;
    this.#final = final;
    this.#ends = ends;
    this.#random = random;
    file.writeSync(final.subarray(0, ends[0]!), 0);
    this.#size = ends[0]!;
  }

  /** Writes one piece, or does what a writer does between two frames. Returns false at the end. */
  step(): boolean {
    const random = this.#random;
    if (this.#pieces.length === 0) {
      const at = this.#ends[this.#frame]!;
      if (random.below(6) === 0) this.#fill(at + random.below(200_000));
      else if (random.below(12) === 0) this.#cut(at);
      if (++this.#frame === this.#ends.length) {
        this.#cut(at);
        return false;
      }
      this.#pieces = this.#split(at, this.#ends[this.#frame]!);
    }
    const [start, end] = this.#pieces.shift()!;
    this.#file.writeSync(this.#final.subarray(start, end), start);
    this.#size = Math.max(this.#size, end);
    return true;
  }

  #fill(to: number): void {
    if (to <= this.#size) return;
    this.#file.writeSync(new Uint8Array(to - this.#size), this.#size);
    this.#size = to;
  }

  #cut(at: number): void {
    if (this.#size === at) return;
    this.#file.truncateSync(at);
    this.#size = at;
  }

  #split(start: number, end: number): (readonly [number, number])[] {
    const random = this.#random;
    const cuts = new Set<number>([end]);
    for (let i = random.below(5); i > 0; i--) {
      const near = random.below(2) === 0 ? Math.min(FRAME_HEADER_BYTES + 2, end - start) : 0;
      cuts.add(start + 1 + random.below(near === 0 ? end - start : near));
    }
    const pieces: (readonly [number, number])[] = [];
    let from = start;
    for (const to of [...cuts].sort((a, b) => a - b)) {
      pieces.push([from, to]);
      from = to;
    }
    // Two writes of one call may come in any order, and one may be done again.
    if (random.below(3) === 0) pieces.reverse();
    if (random.below(4) === 0) pieces.push(pieces[random.below(pieces.length)]!);
    return pieces;
  }
}

describe("whatever the interleaving of pieces and looks", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])(
    "the frames come whole, in order and once (seed %i)",
    async (seed) => {
      const random = new SeededRandom(seed);
      for (let round = 0; round < 8; round++) {
        const { bytes, ends } = image(random, 12);
        const fs: SimFs = emptyFs();
        const file = fs.openSync(PATH, "create");
        const pieces = new Pieces(file, bytes, ends, random);
        const reader = readLog(fs, PATH, { live: true });
        const taken: string[] = [];
        const often = 1 + random.below(4);
        for (let going = true; going; ) {
          going = pieces.step();
          if (going && random.below(often) > 0) continue;
          reader.resume();
          const some = random.below(2) === 0 ? drain(reader) : await drainLoaded(reader);
          taken.push(...some);
        }
        expect(taken).toEqual(framesOf(bytes));
        expect(reader.end).toMatchObject({ kind: "clean", offset: bytes.length });
        reader.closeSync();
        file.closeSync();
      }
    },
  );

  it("the same holds for the writer's own thread pool", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new SeededRandom(seed);
      const tasks: (() => void)[] = [];
      const fs = emptyFs({ schedule: (task) => tasks.push(task) });
      const log = create(fs);
      const reader = readLog(fs, PATH, { live: true });
      const stamps: number[] = [];
      const look = (): void => {
        reader.resume();
        while (reader.next()) stamps.push(reader.first);
      };
      look();
      const work: Promise<unknown>[] = [];
      for (let stamp = 1; stamp <= 30; stamp++) {
        if (random.below(4) === 0 && !log.inFlight) {
          work.push(log.append([new Uint8Array(20_000).fill(stamp)], [], stamp, 1, 0));
        } else log.appendSync([text(`small ${stamp}`)], [], stamp, 1, 0);
        if (random.below(6) === 0 && work.length === 0) work.push(log.zeroFillAhead(50_000));
        if (random.below(2) === 0) look();
        while (random.below(3) > 0 && tasks.length > 0) {
          tasks.splice(random.below(tasks.length), 1)[0]!();
          look();
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (tasks.length === 0) work.length = 0;
      }
      while (tasks.length > 0) {
        tasks.shift()!();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await log.close();
      look();
      expect(stamps).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
      reader.closeSync();
    }
  });
});

/** A writer in a process of its own: pieces of a log, zeros ahead of it, and a cut at its end. */
const WRITER = `
const fs = require("node:fs");
const [, source, target, seed] = process.argv;
const final = fs.readFileSync(source);
const fd = fs.openSync(target, "r+");
let state = Number(seed) >>> 0;
const below = (n) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % n;
let at = fs.fstatSync(fd).size;
let size = at;
const pause = new Int32Array(new SharedArrayBuffer(4));
while (at < final.length) {
  if (below(12) === 0 && size <= at) {
    size = at + 1 + below(100000);
    fs.writeSync(fd, Buffer.alloc(size - at), 0, size - at, at);
  }
  const bytes = Math.min(final.length - at, 1 + below([40, 900, 30000][below(3)]));
  at += fs.writeSync(fd, final, at, bytes, at);
  size = Math.max(size, at);
  if (below(6) === 0) Atomics.wait(pause, 0, 0, below(3));
}
fs.ftruncateSync(fd, final.length);
`;

describe("on the real disk", () => {
  it.each([1, 2])("a writer in another process is followed (seed %i)", async (seed) => {
    const directory = mkdtempSync(`${tmpdir()}/aura-tail-`);
    try {
      const { bytes, ends } = image(new SeededRandom(seed), 150);
      const path = `${directory}/000007.wal`;
      writeFileSync(`${directory}/final`, bytes);
      writeFileSync(path, bytes.subarray(0, ends[0]!));
      const reader = readLog(nodeFileSystem, path, { live: true });
      const writer = spawn(
        process.execPath,
        ["-e", WRITER, `${directory}/final`, path, String(seed)],
        { stdio: "inherit" },
      );
      let exited: number | null | undefined;
      writer.once("exit", (code) => {
        exited = code;
      });
      const taken: string[] = [];
      for (let looks = 0, last = false; !last; looks++) {
        last = exited !== undefined;
        reader.resume();
        taken.push(...(looks % 2 === 0 ? drain(reader) : await drainLoaded(reader)));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(exited).toBe(0);
      expect(taken).toEqual(framesOf(bytes));
      expect(reader.end).toMatchObject({ kind: "clean", offset: bytes.length });
      reader.closeSync();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("a log's end and the next log's beginning are followed", async () => {
    const directory = mkdtempSync(`${tmpdir()}/aura-tail-`);
    const fs: FileSystem = nodeFileSystem;
    const pathOf = (number: number): string => `${directory}/${number}.wal`;
    try {
      const open = (number: number): LogWriter =>
        LogWriter.createSync(fs, pathOf(number), {
          header: { ...header({ lo: number, hi: 1 }), number },
          preamble: text("rotated"),
        });
      let log = open(1);
      let reader = readLog(fs, log.path, { live: true });
      const stamps: number[] = [];
      const look = (): void => {
        for (;;) {
          // The order matters: a log is at its end once the next one is there.
          const ended = fs.existsSync(pathOf(reader.header.number + 1));
          reader.resume();
          while (reader.next()) stamps.push(reader.first);
          if (!ended) return;
          reader.closeSync();
          reader = readLog(fs, pathOf(reader.header.number + 1), { live: true });
        }
      };
      for (let stamp = 1; stamp <= 40; stamp++) {
        if (stamp % 7 === 0) {
          await log.close();
          log = open(log.number + 1);
        }
        if (stamp % 5 === 0) await log.zeroFillAhead(10_000);
        log.appendSync([text(`frame ${stamp}`)], [], stamp, 1, 0);
        if (stamp % 3 === 0) look();
      }
      await log.close();
      look();
      expect(stamps).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      reader.closeSync();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
