/**
 * The commit path beside raw controls that write the same bytes: fixed work, fresh directories, the
 * subjects in turn, medians of wall and of processor time.
 *
 *   node packages/engine/bench/puts.bench.mjs [--part small,values,replay,stream] [--rounds 5]
 *        [--count 200000] [--mib 256] [--queues 1,2,4] [--sizes 65536,1048576] [--dir DIR]
 *
 * small: puts of 16 B and 100 B at level os. values: large values until they are written (os) or
 * durable (sync), 1 and 64 in flight; the control writes the same chunks to one file, through the
 * thread pool from 1 MiB on, and syncs them. replay: opening on a log of small puts, beside a read of
 * the file and the inserts alone. stream: one value of --mib MiB through a write stream.
 */

import { once } from "node:events";
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
  writev,
  writevSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    part: { type: "string", default: "small,values,replay,stream" },
    rounds: { type: "string", default: "5" },
    count: { type: "string", default: "200000" },
    mib: { type: "string", default: "256" },
    queues: { type: "string", default: "1,2,4" },
    sizes: { type: "string", default: "65536,1048576" },
    dir: { type: "string", default: tmpdir() },
  },
});
const MIB = 1048576;
const ROUNDS = Number(options.rounds);
const COUNT = Number(options.count);
const BYTES = Number(options.mib) * MIB;
const { load } = await bundleEngine("puts", { memtable: "memtable/src/index.ts" });
const { AuraDB } = await load("index");
const { createMemtable } = await load("memtable");

/** Runs `work` in a fresh directory; returns wall and processor microseconds. */
async function measured(prepare, work) {
  const directory = mkdtempSync(join(options.dir, "aura-puts-"));
  try {
    const context = await prepare(directory);
    const cpu = process.cpuUsage();
    const start = process.hrtime.bigint();
    await work(context);
    const wall = Number(process.hrtime.bigint() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    await context.end();
    return { wall, cpu: user + system };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

/** Runs all subjects in turn and returns the medians by name. */
async function compare(subjects) {
  const seen = new Map(Object.keys(subjects).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, [prepare, work]] of Object.entries(subjects)) {
      seen.get(name).push(await measured(prepare, work));
    }
  }
  return new Map(
    [...seen].map(([name, runs]) => [
      name,
      { wall: median(runs.map((run) => run.wall)), cpu: median(runs.map((run) => run.cpu)) },
    ]),
  );
}

function opened(settings) {
  return async (directory) => {
    const db = await AuraDB.open(directory, {
      compaction: { automatic: false },
      memtable: { maxSize: 256 * MIB },
      ...settings,
    });
    return { db, end: () => db.close() };
  };
}

async function raw(directory) {
  const fd = openSync(join(directory, "raw"), "w");
  return { fd, end: async () => closeSync(fd) };
}

const value100 = Buffer.alloc(100, 7);

async function small() {
  const key = Buffer.alloc(16);
  let state = 1;
  const next = () => {
    for (let at = 0; at < 16; at += 4) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      key.writeUInt32BE(state, at);
    }
    return key;
  };
  // What one put takes in the log: a frame header, the operation's head, key and value.
  const frame = Buffer.alloc(36 + 4 + 116);
  const found = await compare({
    "raw writeSync": [
      raw,
      ({ fd }) => {
        for (let i = 0, at = 0; i < COUNT; i++, at += frame.length) {
          writeSync(fd, frame, 0, frame.length, at);
        }
      },
    ],
    putSync: [
      opened({}),
      ({ db }) => {
        for (let i = 0; i < COUNT; i++) db.putSync(next(), value100);
      },
    ],
    "await put": [
      opened({}),
      async ({ db }) => {
        for (let i = 0; i < COUNT; i++) await db.put(next(), value100);
      },
    ],
  });
  console.log(`\n${COUNT} puts of 16 B + 100 B, level os: us wall (us CPU) each`);
  for (const [name, { wall, cpu }] of found) {
    console.log(`  ${name.padEnd(16)} ${(wall / COUNT).toFixed(2)} (${(cpu / COUNT).toFixed(2)})`);
  }
}

const promised = (call, ...given) =>
  new Promise((resolve, reject) => {
    call(...given, (error) => (error ? reject(error) : resolve()));
  });

/** Writes in rows of `inFlight` values, as the engine groups them. */
function rawValues(size, inFlight, isSynced) {
  const value = Buffer.alloc(size, 5);
  const head = Buffer.alloc(52);
  const perGroup = Math.max(1, Math.min(inFlight, Math.floor((4 * MIB) / size)));
  return async ({ fd }) => {
    let at = 0;
    for (let left = BYTES / size; left > 0; ) {
      const count = Math.min(left, perGroup);
      const parts = [];
      for (let i = 0; i < count; i++) parts.push(head, value);
      if (count * size >= MIB) await promised(writev, fd, parts, at);
      else writevSync(fd, parts, at);
      if (isSynced) {
        if (inFlight === 1) fdatasyncSync(fd);
        else await promised(fdatasync, fd);
      }
      at += count * (size + head.length);
      left -= count;
    }
  };
}

function engineValues(size, inFlight, isSynced) {
  const value = Buffer.alloc(size, 5);
  return async ({ db }) => {
    const total = BYTES / size;
    let issued = 0;
    const writer = async () => {
      while (issued < total) {
        const key = `key ${String(issued++).padStart(12, "0")}`;
        await db.put(key, value, { sync: isSynced });
      }
    };
    await Promise.all(Array.from({ length: inFlight }, writer));
  };
}

async function largeValues() {
  for (const size of options.sizes.split(",").map(Number)) {
    for (const isSynced of [false, true]) {
      for (const inFlight of [1, 64]) {
        const subjects = { raw: [raw, rawValues(size, inFlight, isSynced)] };
        for (const queues of options.queues.split(",").map(Number)) {
          const settings = { valueLog: { writeQueues: queues }, wal: { backgroundSyncBytes: 0 } };
          subjects[`queues ${queues}`] = [opened(settings), engineValues(size, inFlight, isSynced)];
        }
        const found = await compare(subjects);
        const control = found.get("raw").wall;
        const cells = [...found].map(([name, { wall, cpu }]) => {
          const rate = (BYTES / MIB / (wall / 1e6)).toFixed(0);
          return `${name}: ${rate} MiB/s, ${(control / wall).toFixed(2)} of raw, CPU ${(cpu / 1000).toFixed(0)} ms`;
        });
        const what = `${size / 1024} KiB, ${isSynced ? "sync" : "os"}, ${inFlight} in flight`;
        console.log(`\n${what}\n  ${cells.join("\n  ")}`);
      }
    }
  }
}

async function replay() {
  const directory = mkdtempSync(join(options.dir, "aura-replay-"));
  const settings = {
    wal: { maxFileSize: 4096 * MIB },
    memtable: { maxSize: 1024 * MIB },
    compaction: { automatic: false },
  };
  try {
    const db = await AuraDB.open(directory, settings);
    const total = Math.floor(BYTES / (36 + 120));
    const key = Buffer.alloc(16);
    let state = 1;
    for (let i = 0; i < total; i++) {
      for (let at = 0; at < 16; at += 4) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        key.writeUInt32BE(state, at);
      }
      db.putSync(key, value100);
    }
    const [log] = readdirSync(directory).filter((name) => name.endsWith(".wal"));
    const copy = mkdtempSync(join(options.dir, "aura-replay-"));
    const { cpSync } = await import("node:fs");
    cpSync(directory, copy, { recursive: true });
    await db.close();
    const path = join(copy, log);
    const fileBytes = statSync(path).size;
    const seen = { read: [], insert: [], open: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const again = mkdtempSync(join(options.dir, "aura-replay-"));
      cpSync(copy, again, { recursive: true });
      let start = process.hrtime.bigint();
      const lap = (list) => {
        list.push(Number(process.hrtime.bigint() - start) / 1e6);
        start = process.hrtime.bigint();
      };
      const fd = openSync(path, "r");
      const chunk = Buffer.alloc(MIB);
      for (let at = 0; at < fileBytes; ) at += readSync(fd, chunk, 0, MIB, at);
      closeSync(fd);
      lap(seen.read);
      const table = createMemtable("art", new SharedArrayBuffer(768 * MIB), { seed: 1 });
      state = 1;
      for (let i = 0; i < total; i++) {
        for (let at = 0; at < 16; at += 4) {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          key.writeUInt32BE(state, at);
        }
        table.add(i + 1, 1, key, 0, 16, value100, 0, 100);
      }
      lap(seen.insert);
      start = process.hrtime.bigint();
      const reopened = await AuraDB.open(again, settings);
      lap(seen.open);
      await reopened.close();
      rmSync(again, { recursive: true, force: true });
    }
    rmSync(copy, { recursive: true, force: true });
    const shares = seen.open.map((ms, round) => (seen.read[round] + seen.insert[round]) / ms);
    console.log(
      `\nreplay of ${total} puts, ${(fileBytes / MIB).toFixed(0)} MiB: ${median(seen.open).toFixed(0)} ms; ` +
        `read ${median(seen.read).toFixed(0)} ms + inserts ${median(seen.insert).toFixed(0)} ms: ` +
        `${median(shares).toFixed(2)} of the two (median of the rounds)`,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function stream() {
  const piece = Buffer.alloc(256 * 1024, 9);
  let most = 0;
  const found = await compare({
    raw: [
      raw,
      async ({ fd }) => {
        const chunk = Buffer.alloc(MIB, 9);
        for (let at = 0; at < BYTES; at += MIB) await promised(writev, fd, [chunk], at);
      },
    ],
    stream: [
      opened({}),
      async ({ db }) => {
        const before = process.memoryUsage().arrayBuffers;
        const target = db.createWriteStream("value");
        for (let at = 0; at < BYTES; at += piece.length) {
          if (!target.write(piece)) await once(target, "drain");
          if (at % (16 * MIB) === 0) {
            most = Math.max(most, process.memoryUsage().arrayBuffers - before);
          }
        }
        target.end();
        await once(target, "finish");
      },
    ],
  });
  const { wall, cpu } = found.get("stream");
  console.log(
    `\none value of ${options.mib} MiB through a stream: ${(BYTES / MIB / (wall / 1e6)).toFixed(0)} MiB/s, ` +
      `${(found.get("raw").wall / wall).toFixed(2)} of raw, CPU ${(cpu / 1000).toFixed(0)} ms; ` +
      `at most ${(most / MIB).toFixed(1)} MiB of buffers`,
  );
}

const parts = { small, values: largeValues, replay, stream };
for (const part of options.part.split(",")) await parts[part]();
