/**
 * Value segments beside raw controls: fixed work, fresh files, subjects in turn, medians of wall and of
 * processor time. Appends of records until they are synced, and reads of them at random, verified. The
 * controls write the same bytes in pieces of 256 KiB, or one by one from 64 KiB on, and read the same
 * places into fresh buffers.
 *
 *   node packages/vlog/bench/values.bench.mjs [--rounds 5] [--mib 64] [--sizes 1024,16384,65536,1048576]
 *        [--dir DIR]
 */
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    mib: { type: "string", default: "64" },
    sizes: { type: "string", default: "1024,16384,65536,1048576" },
    dir: { type: "string", default: tmpdir() },
  },
});
const ROUNDS = Number(options.rounds);
const BYTES = Number(options.mib) * 1_048_576;
const KEY_BYTES = 16;
const HEAD_BYTES = 32 + KEY_BYTES;
const PIECE_BYTES = 262_144;
const { load } = await bundle("values", { vlog: "vlog/src/index.ts", base: "base/src/index.ts" });
const { SegmentWriter, ValueReader } = await load("vlog");
const { FileType, hashReady, nodeFileSystem } = await load("base");
await hashReady();

const directory = mkdtempSync(join(options.dir, "aura-values-"));
const pathOf = (number) => join(directory, `${number}.seg`);
const key = Buffer.alloc(KEY_BYTES, 3);
let files = 0;

function writeSegment(size) {
  const number = ++files;
  const header = {
    type: FileType.segment,
    databaseUuid: new Uint8Array(16),
    uid: { lo: number, hi: 1 },
    number,
  };
  const segment = SegmentWriter.createSync(nodeFileSystem, pathOf(number), { header });
  const value = Buffer.alloc(size, 5);
  const offsets = [];
  for (let i = 0; i < BYTES / size; i++) {
    offsets.push(segment.append(0, key, 0, KEY_BYTES, i + 1, 1, value, size, 0));
  }
  segment.finishSync();
  segment.closeSync();
  return { number, offsets };
}

function writeRaw(size) {
  const fd = openSync(pathOf(++files), "w");
  const piece = Buffer.alloc(Math.max(PIECE_BYTES, size + HEAD_BYTES), 5);
  const count = BYTES / size;
  const total = count * (size + HEAD_BYTES);
  for (let at = 0; at < total; at += piece.length) {
    writeSync(fd, piece, 0, Math.min(piece.length, total - at), at);
  }
  fdatasyncSync(fd);
  closeSync(fd);
}

/** Places in an order that is the same in each round. */
function* places(count) {
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state % count;
  }
}

function readSegment({ number, offsets }, size) {
  const reader = new ValueReader(nodeFileSystem, pathOf, 4);
  for (const i of places(offsets.length)) {
    reader.readSync(number, offsets[i], size, size, 0, key, 0, KEY_BYTES);
  }
  reader.closeSync();
}

function readRaw({ number, offsets }, size) {
  const fd = openSync(pathOf(number), "r");
  for (const i of places(offsets.length)) {
    const bytes = Buffer.allocUnsafeSlow(size + HEAD_BYTES);
    readSync(fd, bytes, 0, bytes.length, offsets[i]);
  }
  closeSync(fd);
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
function timed(work, seen) {
  const before = process.cpuUsage();
  const start = process.hrtime.bigint();
  const result = work();
  seen.wall.push(Number(process.hrtime.bigint() - start) / 1000);
  const { user, system } = process.cpuUsage(before);
  seen.cpu.push(user + system);
  return result;
}
try {
  console.log("MiB/s (processor ms), of raw; median");
  for (const size of options.sizes.split(",").map(Number)) {
    const seen = { append: {}, appendRaw: {}, read: {}, readRaw: {} };
    for (const each of Object.values(seen)) Object.assign(each, { wall: [], cpu: [] });
    for (let round = 0; round < ROUNDS; round++) {
      timed(() => writeRaw(size), seen.appendRaw);
      rmSync(pathOf(files));
      const segment = timed(() => writeSegment(size), seen.append);
      timed(() => readRaw(segment, size), seen.readRaw);
      timed(() => readSegment(segment, size), seen.read);
      rmSync(pathOf(files));
    }
    const rate = ({ wall, cpu }) =>
      `${(BYTES / 1.048576 / median(wall)).toFixed(0)} (${(median(cpu) / 1000).toFixed(0)})`;
    const ratio = (ours, raw) => (median(raw.wall) / median(ours.wall)).toFixed(2);
    console.log(
      `${String(size).padStart(8)} B  append ${rate(seen.append)}, raw ${rate(seen.appendRaw)}: ${ratio(seen.append, seen.appendRaw)}` +
        `   read ${rate(seen.read)}, raw ${rate(seen.readRaw)}: ${ratio(seen.read, seen.readRaw)}`,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
