#!/usr/bin/env node
// Log layout: one unified append, or value log and WAL apart?
//
// A commit group is made of n puts whose values are large enough to be separated. The question is where its bytes go:
//
//   unified      one file:   [frame header 40 B][ops 40 B each][record header 32 B, key 16 B, value] x n
//                            one append, one fdatasync
//   unified-2q   two files:  the group is cut in two halves, each a frame of its own; both files at once
//   apart        two files:  the records go to a value segment, header and ops (with pointers) to the WAL;
//                            values are written first, then both fdatasyncs run at the same time
//   apart-series two files:  write value log, fdatasync, write WAL, fdatasync
//   apart-2q     three files: records over two value segments (halves; alternating when n = 1), ops to the WAL
//
// All layouts write the same ops and records (the -2q form of unified: one frame header more), with the same checksums:
// every record has the low 32 bits of xxhash64 over its value, every frame the same over header and ops. Values of at
// most 4 KiB are copied into one staging buffer and leave in one write; larger ones leave by reference in one writev.
// Writes are positional.
//
// Levels: `os` (no sync) and `sync` (asynchronous fdatasync of every touched file, per group). Paths: `direct`
// (writeSync / writevSync on the main thread) and `pool` (fs.write / fs.writev through libuv's thread pool, awaited),
// the latter for groups of 256 KiB and more. Closed loop: the next group starts when the last one is acknowledged.
//
// Sections (--only a,b,c,d):
//   a  the layouts, over level x path x group size x value size
//   b  writevSync against the thread pool over group bytes (layout unified): where is the switch point? `pool` awaits
//      each group; `pool, pipelined` prepares (checksums, framing) the next group while one append is in flight
//   c  the worst case for unified: an unsynced group without values precedes each synced group with values, so that
//      both layouts have two files to sync
//   d  preallocation, sync, layout unified, direct: `extend` appends to the end of the file; `ahead` keeps at most
//      8 MiB of synced zeros in front of the append position, refilled through the thread pool in steps of 4 MiB or
//      1 MiB while the clock runs (an append that reaches the end of the zeros waits for them); `ready` is filled and
//      synced before the clock starts: the bound that no preallocation can pass
//
// Method: fixed work per cell. In each repetition every cell runs all its variants one after the other, in an order
// that changes with the repetition (seeded), each on new files that are deleted afterwards, outside the clock. Figures
// are medians; ratios are medians of the per-repetition ratios, with their quartiles: variants that ran within a
// second of each other are compared, not runs far apart. One repetition before the first is thrown away. A repetition
// that as a whole took over 1.25 times as long as the fastest one was disturbed by other work on the machine: it is
// left out, for all variants alike, as long as 7 remain (else all are used; --json holds every one). Each layout is
// read back and checked once at the start. Files rotate at 256 MiB.
//
//   node tools/experiments/log-layout.mjs --dir DIR [--reps 9] [--quick] [--only a,b,c,d] [--filter REGEXP] [--json FILE]
//
// REGEXP picks cells by id: section/level/path/NxSIZEK in a, b/level/SIZEK, c/NxSIZEK, d/NxSIZEK.
// DIR must be on the disk in question, not on tmpfs. The tables go to stdout as Markdown, progress to stderr.

import { Buffer } from "node:buffer";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import xxhash from "xxhash-wasm";

const { values: args } = parseArgs({
  options: {
    dir: { type: "string" },
    reps: { type: "string", default: "9" },
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "a,b,c,d" },
    filter: { type: "string", default: "" },
    json: { type: "string" },
  },
});
if (args.dir === undefined) {
  process.stderr.write(
    "usage: log-layout.mjs --dir DIR [--reps 9] [--quick] [--only a,b,c,d] [--filter REGEXP] [--json FILE]\n",
  );
  process.exit(2);
}
const KIB = 1024;
const MIB = 1024 * KIB;
const REPS = args.quick ? 3 : Math.max(1, Number.parseInt(args.reps, 10));
const SCALE = args.quick ? 0.25 : 1;
const SECTIONS = new Set(args.only.split(","));
const POOL_FROM = 256 * KIB; // groups of at least this many value bytes also run through the pool
const COPY_MAX = 4 * KIB; // values up to this are copied into the staging buffer
const MAX_FILE = 256 * MIB;
const FRAME = 40;
const OP = 40;
const RECORD = 32;
const KEY = 16;
const WARM_GROUPS = 3;
const DISTURBED = 1.25;

const { h64Raw } = await xxhash();
const hash32 = (bytes) => Number(h64Raw(bytes, 0n) & 0xffffffffn);

fs.mkdirSync(args.dir, { recursive: true });
const root = fs.mkdtempSync(path.join(args.dir, "log-layout-"));
process.on("exit", () => fs.rmSync(root, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

// ---------------------------------------------------------------------------------------------------------- input

const source = crypto.randomBytes(8 * MIB);
const keys = Array.from({ length: 4096 }, (_, i) =>
  crypto.createHash("md5").update(String(i)).digest(),
);
const viewsBySize = new Map();
/** Views of incompressible bytes, made beforehand: the caller's values. */
function valuesOf(size) {
  let views = viewsBySize.get(size);
  if (views === undefined) {
    views = Array.from({ length: 128 }, (_, i) => {
      const at = (i * 65_521) % (source.length - size);
      return source.subarray(at, at + size);
    });
    viewsBySize.set(size, views);
  }
  return views;
}

// --------------------------------------------------------------------------------------------------------- streams

let fileNumber = 0;

/** An append stream over files of at most MAX_FILE bytes. Old files are kept until drop(), outside the clock. */
class Stream {
  constructor(dir) {
    this.dir = dir;
    this.fds = [];
    this.bytes = 0;
    this.open();
  }
  open() {
    this.file = ++fileNumber;
    this.path = path.join(this.dir, `${this.file}.log`);
    this.fd = fs.openSync(this.path, "w+");
    this.fds.push(this.fd);
    this.at = 0;
  }
  /** Reserves len bytes and returns their offset. */
  reserve(len) {
    if (this.at + len > MAX_FILE) this.open(); // what it held is synced group by group at level sync
    const at = this.at;
    this.at += len;
    this.bytes += len;
    return at;
  }
  writeSync(out, at) {
    const n =
      out.iov.length === 1
        ? fs.writeSync(this.fd, out.iov[0], 0, out.len, at)
        : fs.writevSync(this.fd, out.iov, at);
    if (n !== out.len) throw new Error(`short write: ${n} of ${out.len}`);
  }
  write(out, at) {
    return new Promise((resolve, reject) => {
      const done = (error, n) => {
        if (error) reject(error);
        else if (n !== out.len) reject(new Error(`short write: ${n} of ${out.len}`));
        else resolve();
      };
      if (out.iov.length === 1) fs.write(this.fd, out.iov[0], 0, out.len, at, done);
      else fs.writev(this.fd, out.iov, at, done);
    });
  }
  sync() {
    return new Promise((resolve, reject) =>
      fs.fdatasync(this.fd, (error) => (error ? reject(error) : resolve())),
    );
  }
  drop() {
    for (const fd of this.fds) fs.closeSync(fd);
  }
}

/** What one append writes: staging buffer, iovec list, length. Reused from group to group. */
class Out {
  constructor(capacity) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
    this.iov = [];
    this.len = 0;
    this.used = 0;
    this.from = 0;
  }
  reset() {
    this.iov.length = 0;
    this.len = 0;
    this.used = 0;
    this.from = 0;
  }
  cut() {
    if (this.used > this.from) this.iov.push(this.buffer.subarray(this.from, this.used));
    this.from = this.used;
  }
}

const recordLength = (size) => RECORD + KEY + size;
const frameLength = (n) => FRAME + n * OP;

/** Header and ops of values [first, first + n); the value of op i lies at file, at + i * stride. */
function putFrame(out, seq, first, n, size, file, at, durable) {
  const b = out.buffer;
  const start = out.used;
  let p = start + FRAME;
  const stride = recordLength(size);
  for (let i = 0; i < n; i++) {
    b[p] = 3; // kind: pointer
    b[p + 1] = 0; // keyspace
    b.writeUInt16LE(KEY, p + 2);
    keys[(seq + first + i) & 4095].copy(b, p + 4);
    b.writeUInt32LE(file, p + 20);
    b.writeUIntLE(at + i * stride, p + 24, 6);
    b.writeUInt32LE(size, p + 30);
    b.writeUInt32LE(size, p + 34);
    b.writeUInt16LE(0, p + 38); // codec
    p += OP;
  }
  b.writeUInt32LE(0x41555241, start);
  b.writeUInt32LE(n * OP, start + 8);
  b.writeUInt32LE(n * stride, start + 12);
  b.writeUIntLE(seq + first, start + 16, 6);
  b.writeUInt16LE(0, start + 22);
  b.writeUInt32LE(n, start + 24);
  b.writeUInt32LE(0, start + 28);
  b.writeUIntLE(durable, start + 32, 6);
  b.writeUInt16LE(0, start + 38);
  b.writeUInt32LE(hash32(b.subarray(start + 8, p)), start + 4);
  out.used = p;
  out.len += p - start;
}

function putRecords(out, seq, first, n, size) {
  const b = out.buffer;
  const views = valuesOf(size);
  for (let i = first; i < first + n; i++) {
    const value = views[(seq + i) & 127];
    const p = out.used;
    b.writeUInt32LE(hash32(value), p);
    b.writeUInt32LE(size, p + 4);
    b.writeUInt32LE(KEY, p + 8);
    b.writeUInt32LE(0, p + 12); // keyspace, kind
    b.writeUIntLE(seq + i, p + 16, 6);
    b.writeUInt16LE(0, p + 22);
    b.writeUInt32LE(0, p + 24); // expiry
    b.writeUInt32LE(0, p + 28);
    keys[(seq + i) & 4095].copy(b, p + RECORD);
    out.used = p + RECORD + KEY;
    if (size <= COPY_MAX) {
      value.copy(b, out.used);
      out.used += size;
    } else {
      out.cut();
      out.iov.push(value);
    }
  }
  out.len += n * recordLength(size);
}

const capacityFor = (n, size) =>
  frameLength(n) + n * (size <= COPY_MAX ? recordLength(size) : RECORD + KEY) + FRAME;

// --------------------------------------------------------------------------------------------------------- layouts

/**
 * A layout prepares a group (reserve, frame, checksum) as a list of [stream, out, offset], values before pointers.
 */
function makeLayout(name, dir, n, size) {
  const outs = [0, 1, 2].map(() => new Out(capacityFor(n, size)));
  const streams = [];
  const stream = () => {
    const s = new Stream(dir);
    streams.push(s);
    return s;
  };
  let durable = 0;
  const whole = (s, out, seq, first, count) => {
    out.reset();
    const at = s.reserve(frameLength(count) + count * recordLength(size));
    putFrame(out, seq, first, count, size, s.file, at + frameLength(count) + RECORD + KEY, durable);
    putRecords(out, seq, first, count, size);
    out.cut();
    return [s, out, at];
  };
  const records = (s, out, seq, first, count) => {
    out.reset();
    const at = s.reserve(count * recordLength(size));
    putRecords(out, seq, first, count, size);
    out.cut();
    return [s, out, at];
  };
  const half = n >> 1;
  let prepare;
  if (name === "unified") {
    const s = stream();
    prepare = (seq) => [whole(s, outs[0], seq, 0, n)];
  } else if (name === "unified-2q") {
    const a = stream();
    const b = stream();
    prepare = (seq) =>
      n === 1
        ? [whole(seq & 1 ? a : b, outs[0], seq, 0, 1)]
        : [whole(a, outs[0], seq, 0, half), whole(b, outs[1], seq, half, n - half)];
  } else if (name === "apart" || name === "apart-series") {
    const v = stream();
    const w = stream();
    prepare = (seq) => {
      const first = records(v, outs[0], seq, 0, n);
      const out = outs[1];
      out.reset();
      const at = w.reserve(frameLength(n));
      putFrame(out, seq, 0, n, size, v.file, first[2] + RECORD + KEY, durable);
      out.cut();
      return [first, [w, out, at]];
    };
  } else if (name === "apart-2q") {
    const q = [stream(), stream()];
    const w = stream();
    prepare = (seq) => {
      const parts =
        n === 1
          ? [records(q[seq & 1], outs[0], seq, 0, 1)]
          : [records(q[0], outs[0], seq, 0, half), records(q[1], outs[1], seq, half, n - half)];
      const out = outs[2];
      out.reset();
      const at = w.reserve(frameLength(n));
      putFrame(out, seq, 0, n, size, q[0].file, parts[0][2] + RECORD + KEY, durable);
      out.cut();
      parts.push([w, out, at]);
      return parts;
    };
  } else throw new Error(name);
  const frames = (groups) => groups * (name === "unified-2q" && n > 1 ? 2 : 1);
  return {
    streams,
    prepare,
    series: name === "apart-series",
    setDurable: (seq) => {
      durable = seq;
    },
    expected: (groups) => frames(groups) * FRAME + groups * n * (OP + recordLength(size)),
    drop() {
      for (const s of streams) s.drop();
    },
  };
}

function commitDirectOs(parts) {
  for (let i = 0; i < parts.length; i++) parts[i][0].writeSync(parts[i][1], parts[i][2]);
}
async function commitDirectSync(parts, series) {
  if (series) {
    for (const [s, out, at] of parts) {
      s.writeSync(out, at);
      await s.sync();
    }
    return;
  }
  commitDirectOs(parts);
  if (parts.length === 1) await parts[0][0].sync();
  else await Promise.all(parts.map((p) => p[0].sync()));
}
async function commitPool(parts, series, sync) {
  const one = async ([s, out, at]) => {
    await s.write(out, at);
    if (sync) await s.sync();
  };
  if (parts.length === 1) await one(parts[0]);
  else if (series) for (const p of parts) await one(p);
  else await Promise.all(parts.map(one));
}

let cellNumber = 0;
function cellDir() {
  const dir = path.join(root, String(++cellNumber));
  fs.mkdirSync(dir);
  return dir;
}
/** Deletes what a cell wrote and commits the deletion, so that it does not run into the next cell's syncs. */
function dropDir(dir, settle) {
  fs.rmSync(dir, { recursive: true, force: true });
  if (!settle) return;
  const fd = fs.openSync(root, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/**
 * A virtual machine may hand freed memory back to its host (free page reporting), and page cache that has to be taken
 * from there again costs two to three times as much: which variant pays is chance. So, for large groups, as much page
 * cache as the cell will use is taken and freed just before its clock starts.
 */
function warmMemory(groupBytes, groups) {
  if (groupBytes < MIB) return;
  const file = path.join(root, "warm");
  const fd = fs.openSync(file, "w");
  const pieces = Array.from({ length: Math.ceil(groupBytes / zeros.length) }, () => zeros);
  for (let g = 0; g < groups + WARM_GROUPS; g++) fs.writevSync(fd, pieces);
  fs.closeSync(fd);
  fs.unlinkSync(file);
}
const zeros = Buffer.alloc(4 * MIB);

const now = () => performance.now();
const quantile = (sorted, q) => {
  const x = (sorted.length - 1) * q;
  const lo = Math.floor(x);
  return sorted[lo] + (sorted[Math.min(lo + 1, sorted.length - 1)] - sorted[lo]) * (x - lo);
};
const sort = (xs) => Float64Array.from(xs).sort();
const median = (xs) => quantile(sort(xs), 0.5);

async function runLayout({ layout: name, level, path: how, n, size, groups }) {
  warmMemory(n * size, groups);
  const dir = cellDir();
  const layout = makeLayout(name, dir, n, size);
  const sync = level === "sync";
  const times = new Float64Array(groups);
  let seq = 1;
  let start = 0;
  const total = groups + WARM_GROUPS;
  for (let g = 0; g < total; g++) {
    if (g === WARM_GROUPS) start = now();
    const t = sync ? now() : 0;
    const parts = layout.prepare(seq);
    if (how === "pool") await commitPool(parts, layout.series, sync);
    else if (sync) await commitDirectSync(parts, layout.series);
    else commitDirectOs(parts); // no await: the synchronous path of the engine
    seq += n;
    if (sync) {
      layout.setDurable(seq - 1);
      if (g >= WARM_GROUPS) times[g - WARM_GROUPS] = now() - t;
    }
  }
  const ms = now() - start;
  const written = layout.streams.reduce((sum, s) => sum + s.bytes, 0);
  if (written !== layout.expected(total))
    throw new Error(`${name}: wrote ${written}, expected ${layout.expected(total)}`);
  layout.drop();
  dropDir(dir, sync);
  const result = { opsPerSec: (groups * n * 1000) / ms };
  if (sync) {
    times.sort();
    result.p50 = quantile(times, 0.5);
    result.p99 = quantile(times, 0.99);
  }
  return result;
}

// ------------------------------------------------------------------------------------------------------ self check

/** Every layout, both paths: read the files back, follow every pointer, check every checksum. */
async function selfCheck() {
  for (const name of ["unified", "unified-2q", "apart", "apart-series", "apart-2q"]) {
    for (const [n, size] of [
      [1, KIB],
      [4, 16 * KIB],
    ]) {
      for (const how of ["direct", "pool"]) {
        const dir = cellDir();
        const layout = makeLayout(name, dir, n, size);
        for (let g = 0; g < 5; g++) {
          const parts = layout.prepare(1 + g * n);
          if (how === "pool") await commitPool(parts, layout.series, true);
          else await commitDirectSync(parts, layout.series);
        }
        const files = new Map(layout.streams.map((s) => [s.file, fs.readFileSync(s.path)]));
        let seen = 0;
        let ops = 0;
        for (const bytes of files.values()) {
          for (let p = 0; p < bytes.length; ) {
            if (bytes.length - p >= FRAME && bytes.readUInt32LE(p) === 0x41555241) {
              const end = p + FRAME + bytes.readUInt32LE(p + 8);
              if (hash32(bytes.subarray(p + 8, end)) !== bytes.readUInt32LE(p + 4))
                throw new Error(`${name}: bad frame`);
              for (let o = p + FRAME; o < end; o += OP, ops++) {
                if (name === "apart-2q") continue; // its ops name the first queue only: the length is what is measured
                const value = files.get(bytes.readUInt32LE(o + 20));
                const at = bytes.readUIntLE(o + 24, 6);
                const header = at - RECORD - KEY;
                if (hash32(value.subarray(at, at + size)) !== value.readUInt32LE(header))
                  throw new Error(`${name}: bad pointer`);
              }
              p = end;
            } else {
              const at = p + RECORD + KEY;
              if (hash32(bytes.subarray(at, at + size)) !== bytes.readUInt32LE(p))
                throw new Error(`${name}: bad record`);
              p = at + size;
              seen++;
            }
          }
        }
        if (seen !== 5 * n || ops !== 5 * n)
          throw new Error(`${name}: ${seen} records, ${ops} ops of ${5 * n}`);
        layout.drop();
        dropDir(dir, false);
      }
    }
  }
}

// --------------------------------------------------------------------------------------------------------- sections

const clamp = (x, lo, hi) => Math.max(lo, Math.min(hi, Math.round(x)));
const GROUPS = [1, 4, 16, 64];
const SIZES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB];

/** Section a. */
function layoutCells() {
  const cells = [];
  for (const level of ["os", "sync"]) {
    for (const how of ["direct", "pool"]) {
      for (const n of GROUPS) {
        for (const size of SIZES) {
          const large = n * size >= POOL_FROM;
          if (how === "pool" && !large) continue;
          const names = ["unified", "apart", "apart-2q"];
          if (level === "sync" || how === "pool") names.splice(2, 0, "apart-series"); // os, direct: the same as apart
          if (large) names.push("unified-2q");
          const groups =
            level === "os"
              ? clamp(
                  (Math.max(64, (n * size) / (32 * KIB)) * MIB * SCALE) / (n * size),
                  12,
                  6000 * SCALE,
                )
              : clamp(
                  (Math.max(40, (n * size) / (64 * KIB)) * MIB * SCALE) / (n * size),
                  10,
                  400 * SCALE,
                );
          cells.push({
            section: "a",
            id: `${level}/${how}/${n}x${size / KIB}K`,
            level,
            path: how,
            n,
            size,
            groups,
            variants: names,
            run: (layout) => runLayout({ layout, level, path: how, n, size, groups }),
          });
        }
      }
    }
  }
  return cells;
}

/** Section b: values of 16 KiB, groups of 32 KiB to 8 MiB. */
async function runSwitch({ variant, level, n, size, groups }) {
  warmMemory(n * size, groups);
  const dir = cellDir();
  const layouts = makeLayout("unified", dir, n, size);
  // pipelining needs a second set of staging buffers over the same stream
  const spare = makeLayout("unified", dir, n, size);
  const stream = layouts.streams[0];
  const sync = level === "sync";
  let busy = 0; // main-thread time: preparing, writing synchronously, submitting
  let seq = 1;
  let start = 0;
  let flight;
  const total = groups + WARM_GROUPS;
  const send = async (parts) => {
    const [, out, at] = parts[0];
    await stream.write(out, at);
    if (sync) await stream.sync();
  };
  for (let g = 0; g < total; g++) {
    if (g === WARM_GROUPS) {
      await flight;
      flight = undefined;
      busy = 0;
      start = now();
    }
    const t = now();
    if (variant === "pool, pipelined") {
      const side = g & 1 ? spare : layouts;
      const parts = side.prepare(seq);
      if (side === spare) {
        // the spare layout frames and checksums; the bytes go to the one stream
        parts[0][2] = stream.reserve(parts[0][1].len);
      }
      busy += now() - t;
      await flight;
      flight = send(parts);
    } else {
      const parts = layouts.prepare(seq);
      if (variant === "pool") {
        const p = send(parts);
        busy += now() - t;
        await p;
      } else {
        commitDirectOs(parts);
        busy += now() - t;
        if (sync) await stream.sync();
      }
    }
    seq += n;
  }
  await flight;
  const ms = now() - start;
  layouts.drop();
  spare.drop();
  dropDir(dir, sync);
  return {
    opsPerSec: (groups * 1000) / ms,
    busyUs: (busy * 1000) / groups,
    groupUs: (ms * 1000) / groups,
  };
}
function switchCells() {
  const cells = [];
  const size = 16 * KIB;
  for (const level of ["os", "sync"]) {
    for (const bytes of [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192].map((k) => k * KIB)) {
      const n = bytes / size;
      const groups = clamp(((level === "os" ? 96 : 48) * MIB * SCALE) / bytes, 12, 1000);
      cells.push({
        section: "b",
        id: `${level}/${bytes / KIB}K`,
        level,
        bytes,
        groups,
        variants: ["direct", "pool", "pool, pipelined"],
        run: (variant) => runSwitch({ variant, level, n, size, groups }),
      });
    }
  }
  return cells;
}

/** Section c: an unsynced group of four 100 B puts, then a synced group with values. */
async function runMixed({ variant, n, size, groups }) {
  const dir = cellDir();
  const layout = makeLayout(variant, dir, n, size);
  const wal = variant === "unified" ? new Stream(dir) : layout.streams[1];
  const small = Buffer.alloc(FRAME + 4 * 120);
  source.copy(small, FRAME, 0, 480);
  const out = { iov: [small], len: small.length };
  let seq = 1;
  let start = 0;
  for (let g = 0; g < groups + WARM_GROUPS; g++) {
    if (g === WARM_GROUPS) start = now();
    small.writeUInt32LE(hash32(small.subarray(8)), 4);
    wal.writeSync(out, wal.reserve(small.length));
    const parts = layout.prepare(seq);
    commitDirectOs(parts);
    // the whole history must be durable: value file and WAL, in both layouts
    await Promise.all([parts[0][0].sync(), wal.sync()]);
    seq += n;
  }
  const ms = now() - start;
  layout.drop();
  if (variant === "unified") wal.drop();
  dropDir(dir, true);
  return { opsPerSec: (groups * n * 1000) / ms };
}
function mixedCells() {
  const cells = [];
  for (const [n, size] of [
    [1, 4 * KIB],
    [1, 64 * KIB],
    [16, 4 * KIB],
    [16, 64 * KIB],
  ]) {
    const groups = clamp(
      (Math.max(40, (n * size) / (64 * KIB)) * MIB * SCALE) / (n * size),
      10,
      400 * SCALE,
    );
    cells.push({
      section: "c",
      id: `${n}x${size / KIB}K`,
      n,
      size,
      groups,
      variants: ["unified", "apart"],
      run: (variant) => runMixed({ variant, n, size, groups }),
    });
  }
  return cells;
}

/** Section d. */
const AHEAD = 8 * MIB;
async function runPrealloc({ variant, n, size, groups }) {
  const dir = cellDir();
  const layout = makeLayout("unified", dir, n, size);
  const s = layout.streams[0];
  const total = groups + WARM_GROUPS;
  const step = variant === "ahead, 1 MiB steps" ? MIB : 4 * MIB;
  let ready = Number.POSITIVE_INFINITY; // end of the zeros that are on the disk
  let filling;
  let waits = 0;
  const fillTo = async (from, end) => {
    for (let p = from; p < end; ) {
      const len = Math.min(step, end - p);
      await s.write({ iov: [zeros], len }, p);
      p += len;
    }
    await s.sync();
    ready = end;
  };
  if (variant === "ready") await fillTo(0, layout.expected(total));
  else if (variant !== "extend") await fillTo(0, AHEAD);
  const refills = variant.startsWith("ahead");
  const times = new Float64Array(groups);
  let seq = 1;
  let start = 0;
  for (let g = 0; g < total; g++) {
    if (g === WARM_GROUPS) start = now();
    const t = now();
    const parts = layout.prepare(seq);
    if (refills) {
      while (s.at > ready) {
        waits++;
        filling ??= fillTo(ready, ready + step).then(() => {
          filling = undefined;
        });
        await filling;
      }
    }
    commitDirectOs(parts);
    if (refills && filling === undefined && ready + step - s.at <= AHEAD) {
      filling = fillTo(ready, ready + step).then(() => {
        filling = undefined;
      });
    }
    await s.sync();
    seq += n;
    layout.setDurable(seq - 1);
    if (g >= WARM_GROUPS) times[g - WARM_GROUPS] = now() - t;
  }
  await filling;
  const ms = now() - start;
  layout.drop();
  dropDir(dir, true);
  times.sort();
  return {
    opsPerSec: (groups * n * 1000) / ms,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    waits,
  };
}
function preallocCells() {
  const cells = [];
  for (const n of [1, 16]) {
    for (const size of SIZES) {
      // enough bytes that the zeros of `ahead` have to be refilled
      const groups = clamp(
        (Math.min(64, Math.max(12, (n * size) / (4 * KIB))) * MIB * SCALE) / (n * size),
        16,
        9000,
      );
      cells.push({
        section: "d",
        id: `${n}x${size / KIB}K`,
        n,
        size,
        groups,
        variants: ["extend", "ahead, 4 MiB steps", "ahead, 1 MiB steps", "ready"],
        run: (variant) => runPrealloc({ variant, n, size, groups }),
      });
    }
  }
  return cells;
}

// -------------------------------------------------------------------------------------------------------------- run

await selfCheck();
const cells = [
  ...(SECTIONS.has("a") ? layoutCells() : []),
  ...(SECTIONS.has("b") ? switchCells() : []),
  ...(SECTIONS.has("c") ? mixedCells() : []),
  ...(SECTIONS.has("d") ? preallocCells() : []),
].filter((cell) => new RegExp(args.filter).test(`${cell.section}/${cell.id}`));
let randomState = 42;
const random = () => {
  randomState = (Math.imul(randomState, 1_664_525) + 1_013_904_223) >>> 0;
  return randomState / 2 ** 32;
};
const began = now();
for (const cell of cells) cell.results = Object.fromEntries(cell.variants.map((v) => [v, []]));
const repSeconds = [];
for (let rep = -1; rep < REPS; rep++) {
  const repBegan = now();
  for (const cell of cells) {
    const order = [...cell.variants];
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (const variant of order) {
      const result = await cell.run(variant);
      if (rep >= 0) cell.results[variant].push(result);
    }
  }
  if (rep >= 0) repSeconds.push((now() - repBegan) / 1000);
  process.stderr.write(
    `repetition ${rep + 1} of ${REPS}${rep < 0 ? " (warm-up, discarded)" : ""}: ${((now() - began) / 1000).toFixed(0)} s\n`,
  );
}

// ----------------------------------------------------------------------------------------------------------- report

const limit = Math.min(...repSeconds) * DISTURBED;
const calm = repSeconds.map((s, i) => (s <= limit ? i : -1)).filter((i) => i >= 0);
const kept = calm.length >= 7 ? calm : repSeconds.map((_, i) => i);
const field = (cell, variant, name) => median(kept.map((i) => cell.results[variant][i][name]));
/** Per-repetition ratio of a over b: median and quartiles. */
function ratio(cell, a, b) {
  const rs = sort(kept.map((i) => cell.results[a][i].opsPerSec / cell.results[b][i].opsPerSec));
  return { median: quantile(rs, 0.5), q1: quantile(rs, 0.25), q3: quantile(rs, 0.75) };
}
const show = (x) => (x >= 1000 ? Math.round(x).toLocaleString("en-US") : x.toFixed(x < 10 ? 2 : 0));
const showRatio = (r) => `${r.median.toFixed(2)} (${r.q1.toFixed(2)}-${r.q3.toFixed(2)})`;
const print = (line = "") => process.stdout.write(`${line}\n`);
function table(head, rows) {
  print(`| ${head.join(" | ")} |`);
  print(`|${head.map((_, i) => (i === 0 ? "---" : "---:")).join("|")}|`);
  for (const row of rows) print(`| ${row.join(" | ")} |`);
  print();
}
print(
  `Node ${process.versions.node}, ${kept.length} of ${REPS} repetitions used, ${((now() - began) / 1000).toFixed(0)} s in all. Ratios: median (quartiles).`,
);
print();
for (const level of ["os", "sync"]) {
  for (const how of ["direct", "pool"]) {
    const mine = cells.filter((c) => c.section === "a" && c.level === level && c.path === how);
    if (mine.length === 0) continue;
    print(`a. ${level}, ${how}: values per second`);
    print();
    const names = ["unified", "apart", "apart-series", "apart-2q", "unified-2q"].filter((v) =>
      mine.some((c) => c.variants.includes(v)),
    );
    table(
      [
        "group x value",
        ...names,
        "unified / apart",
        "unified / apart-2q",
        ...(names.includes("unified-2q") ? ["unified-2q / unified"] : []),
      ],
      mine.map((c) => [
        `${c.n} x ${c.size / KIB} KiB`,
        ...names.map((v) => (c.variants.includes(v) ? show(field(c, v, "opsPerSec")) : "")),
        showRatio(ratio(c, "unified", "apart")),
        showRatio(ratio(c, "unified", "apart-2q")),
        ...(names.includes("unified-2q")
          ? [c.variants.includes("unified-2q") ? showRatio(ratio(c, "unified-2q", "unified")) : ""]
          : []),
      ]),
    );
  }
}
for (const level of ["os", "sync"]) {
  const mine = cells.filter((c) => c.section === "b" && c.level === level);
  if (mine.length === 0) continue;
  print(
    `b. ${level}: direct against the thread pool, microseconds per group; in brackets: of these on the main thread`,
  );
  print();
  const names = ["direct", "pool", "pool, pipelined"];
  table(
    ["group bytes", ...names, "pool / direct", "pipelined / direct"],
    mine.map((c) => [
      `${c.bytes / KIB} KiB`,
      ...names.map((v) => `${show(field(c, v, "groupUs"))} (${show(field(c, v, "busyUs"))})`),
      showRatio(ratio(c, "pool", "direct")),
      showRatio(ratio(c, "pool, pipelined", "direct")),
    ]),
  );
}
const mixed = cells.filter((c) => c.section === "c");
if (mixed.length > 0) {
  print("c. an unsynced small group before each synced group: values per second");
  print();
  table(
    ["group x value", "unified", "apart", "unified / apart"],
    mixed.map((c) => [
      `${c.n} x ${c.size / KIB} KiB`,
      show(field(c, "unified", "opsPerSec")),
      show(field(c, "apart", "opsPerSec")),
      showRatio(ratio(c, "unified", "apart")),
    ]),
  );
}
const prealloc = cells.filter((c) => c.section === "d");
if (prealloc.length > 0) {
  print("d. preallocation, sync: values per second; in brackets: group latency p50 / p99 in ms");
  print();
  const names = prealloc[0].variants;
  table(
    ["group x value", ...names, ...names.slice(1).map((v) => `${v} / extend`)],
    prealloc.map((c) => [
      `${c.n} x ${c.size / KIB} KiB`,
      ...names.map(
        (v) =>
          `${show(field(c, v, "opsPerSec"))} (${field(c, v, "p50").toFixed(2)} / ${field(c, v, "p99").toFixed(2)})`,
      ),
      ...names.slice(1).map((v) => showRatio(ratio(c, v, "extend"))),
    ]),
  );
}
if (args.json !== undefined) {
  const plain = cells.map(({ run: _run, ...rest }) => rest);
  fs.writeFileSync(
    args.json,
    `${JSON.stringify({ node: process.versions.node, reps: REPS, quick: args.quick, repSeconds, kept, cells: plain }, null, 1)}\n`,
  );
}
