import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  contentHash,
  FILE_HEADER_BYTES,
  hashReady,
  nodeFileSystem,
  SeededRandom,
} from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { putFrameHeader } from "../src/frame.ts";
import { FRAME_HEADER_BYTES, LogWriter, readLog } from "../src/index.ts";
import { create, emptyFs, header, PATH, text } from "./support.ts";

const MIB = 1024 * 1024;

interface Written {
  offset: number;
  covered: number;
  attached: number;
}

/** Some megabytes of frames, from empty to larger than a read chunk. */
function writeLarge(fs: SimFs, seed: number): Written[] {
  const random = new SeededRandom(seed);
  const log = create(fs);
  const written: Written[] = [];
  for (let stamp = 1; stamp <= 120; stamp++) {
    const small = new Uint8Array(random.below(900)).fill(stamp);
    const large = new Uint8Array(
      stamp % 40 === 0 ? MIB + random.below(MIB) : random.below(stamp % 5 === 0 ? 90_000 : 3000),
    );
    for (let i = 0; i < large.length; i += 1 + random.below(9)) large[i] = random.below(256);
    const offset = log.appendSync([small], [large], stamp, 1, stamp - 1);
    written.push({
      offset,
      covered: contentHash(small, 0, small.length),
      attached: contentHash(large, 0, large.length),
    });
  }
  log.closeSync();
  return written;
}

beforeAll(() => hashReady());

describe("a log of several read chunks", () => {
  it("is read back whole, each byte once", () => {
    const fs = emptyFs();
    const written = writeLarge(fs, 1);
    const before = fs.bytesRead;
    const reader = readLog(fs, PATH);
    const read: Written[] = [];
    while (reader.next()) {
      read.push({
        offset: reader.offset,
        covered: contentHash(reader.bytes, reader.coveredStart, reader.coveredEnd),
        attached: contentHash(reader.bytes, reader.attachedStart, reader.attachedEnd),
      });
    }
    expect(read).toEqual(written);
    expect(reader.end!.kind).toBe("clean");
    expect(reader.bytes.length).toBeLessThan(2.1 * MIB);
    expect(fs.bytesRead - before).toBe(reader.fileBytes);
    reader.closeSync();
  });

  it("shows what stands behind damage anywhere", () => {
    const random = new SeededRandom(2);
    const fs = emptyFs();
    const written = writeLarge(fs, 3);
    const bytes = Uint8Array.from(fs.readFile(PATH));
    for (let round = 0; round < 12; round++) {
      const hit = random.below(written.length);
      const { offset } = written[hit]!;
      const end = written[hit + 1]?.offset ?? bytes.length;
      const damaged = bytes.slice();
      // Header, payload, or everything of the frame.
      if (round % 3 === 0) damaged[offset + random.below(FRAME_HEADER_BYTES)]! ^= 16;
      else if (round % 3 === 1) damaged.fill(0xa5, offset, end);
      else damaged.fill(0, offset, end);
      const other = emptyFs();
      other.writeFile(PATH, damaged);
      const before = other.bytesRead;
      const reader = readLog(other, PATH);
      let count = 0;
      while (reader.next()) count++;
      reader.scanOn();
      reader.closeSync();
      expect(count).toBe(hit);
      expect(reader.end!.offset).toBe(offset);
      expect(reader.laterFrame?.offset).toBe(written[hit + 1]?.offset);
      const last = hit === written.length - 1 ? written.length - 2 : written.length - 1;
      expect(reader.durableSeen).toBe(last);
      expect(other.bytesRead - before).toBeLessThan(2 * reader.fileBytes + 2 * MIB);
    }
  });

  it("is searched across the ends of chunks", () => {
    for (let before = 0; before <= FRAME_HEADER_BYTES + 1; before++) {
      const fs = emptyFs();
      const log = create(fs);
      const bad = log.bytes;
      const padding = MIB - before - bad - FRAME_HEADER_BYTES;
      log.appendSync([], [new Uint8Array(padding).fill(1)], 1, 1, 0);
      const later = log.appendSync([], [new Uint8Array(100).fill(2)], 2, 1, 1);
      expect(later).toBe(MIB - before);
      log.closeSync();
      fs.flipBits(PATH, bad, 1);
      const reader = readLog(fs, PATH);
      expect(reader.next()).toBe(false);
      reader.scanOn();
      reader.closeSync();
      expect(reader.laterFrame?.offset).toBe(later);
      expect(reader.zerosFrom).toBe(reader.fileBytes);
    }
  });

  it("is scanned in one pass over bytes that look like frame headers", () => {
    // Headers as a caller could store them in a value: all but the binding to this file is right.
    const value = new Uint8Array(1.5 * MIB);
    for (let at = 0; at + FRAME_HEADER_BYTES <= value.length; at += FRAME_HEADER_BYTES) {
      putFrameHeader(value, at, { lo: 0, hi: 0 }, at, 1, MIB, 0, 9, 1, 0, 8);
    }
    const fs = emptyFs();
    const log = create(fs);
    const bad = log.appendSync([text("x")], [value], 1, 1, 0);
    const last = log.appendSync([text("y")], [], 2, 1, 1);
    log.closeSync();
    fs.flipBits(PATH, bad, 1);
    const before = fs.bytesRead;
    const reader = readLog(fs, PATH);
    expect(reader.next()).toBe(false);
    reader.scanOn();
    reader.closeSync();
    expect(reader.laterFrame).toMatchObject({ offset: last, first: 2, durable: 1 });
    expect(fs.bytesRead - before).toBeLessThan(reader.fileBytes + 2 * MIB);
  });
});

describe("a log on the platform's file system", () => {
  it("is written on both threads and read back", async () => {
    const directory = mkdtempSync(`${tmpdir()}/aura-wal-`);
    const path = `${directory}/000007.wal`;
    try {
      const log = LogWriter.createSync(nodeFileSystem, path, {
        header: header(),
        preamble: text("p"),
      });
      let stamp = 0;
      const value = new Uint8Array(400_000).fill(7);
      for (let round = 0; round < 20; round++) {
        log.appendSync([text("small")], [], ++stamp, 1, 0);
        const flight = log.append([text("large")], [text("head"), value], ++stamp, 1, 0);
        if (round % 3 === 0) log.appendSync([text("between")], [], ++stamp, 1, 0);
        if (round % 4 === 0) await log.sync();
        await flight;
        if (round % 5 === 0) log.syncSync();
      }
      const running = readLog(nodeFileSystem, path);
      while (running.next());
      expect(running.end).toMatchObject({ kind: "clean", offset: log.bytes });
      running.closeSync();
      await log.close();
      const reader = readLog(nodeFileSystem, path);
      let last = 0;
      while (reader.next()) {
        expect(reader.first).toBe(last + 1);
        last = reader.first + reader.count - 1;
        if (reader.attachedEnd === reader.attachedStart) continue;
        expect(reader.attachedEnd - reader.attachedStart).toBe(value.length + 4);
        expect(reader.bytes[reader.attachedEnd - 1]).toBe(7);
      }
      reader.closeSync();
      expect(last).toBe(stamp);
      expect(reader.preamble).toEqual(text("p"));
      expect(reader.header.number).toBe(7);
      expect(FILE_HEADER_BYTES).toBe(64);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
