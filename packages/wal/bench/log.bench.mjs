/**
 * The log beside raw controls: fixed work, fresh files, subjects in turn, medians of wall and of
 * processor time. Appends of small frames one by one, of frames with a large attached part, synced
 * appends, and replay of a file of small frames in bulk. The controls write the same bytes in the same
 * calls, and read the same file in pieces of 1 MiB.
 *
 *   node packages/wal/bench/log.bench.mjs [--rounds 5] [--small 200000] [--large 500] [--synced 300]
 *        [--dir DIR]
 */
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
  writevSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    small: { type: "string", default: "200000" },
    large: { type: "string", default: "500" },
    synced: { type: "string", default: "300" },
    dir: { type: "string", default: tmpdir() },
  },
});
const ROUNDS = Number(options.rounds);
const FRAME_HEADER_BYTES = 36;
const LARGE_BYTES = 262_144;
const { load } = await bundle("log", { wal: "wal/src/index.ts", base: "base/src/index.ts" });
const { LogWriter, readLog } = await load("wal");
const { FileType, hashReady, nodeFileSystem } = await load("base");
await hashReady();

const directory = mkdtempSync(join(options.dir, "aura-log-"));
let files = 0;
const operations = Buffer.alloc(120, 7);
const value = Buffer.alloc(LARGE_BYTES, 5);
const frame = Buffer.alloc(FRAME_HEADER_BYTES + operations.length, 7);
const head = Buffer.alloc(FRAME_HEADER_BYTES + 20, 7);

function createLog() {
  const number = ++files;
  const header = {
    type: FileType.wal,
    databaseUuid: new Uint8Array(16),
    uid: { lo: number, hi: 1 },
    number,
  };
  return LogWriter.createSync(nodeFileSystem, join(directory, `${number}.wal`), {
    header,
    preamble: new Uint8Array(1),
  });
}

function openRaw() {
  return openSync(join(directory, `${++files}.raw`), "w");
}

function logOf(count, attached, isSynced) {
  const log = createLog();
  const covered = [operations];
  for (let i = 1; i <= count; i++) {
    log.appendSync(covered, attached, i, 1, 0);
    if (isSynced) log.syncSync();
  }
  log.closeSync();
  return log.path;
}

function rawOf(count, parts, isSynced) {
  const fd = openRaw();
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  for (let i = 0; i < count; i++) {
    if (parts.length === 1) writeSync(fd, parts[0], 0, bytes, i * bytes);
    else writevSync(fd, parts, i * bytes);
    if (isSynced) fdatasyncSync(fd);
  }
  closeSync(fd);
}

function rawRead(path) {
  const fd = openSync(path, "r");
  const chunk = Buffer.alloc(1_048_576);
  const { size } = statSync(path);
  for (let at = 0; at < size; ) at += readSync(fd, chunk, 0, chunk.length, at);
  closeSync(fd);
}

function replay(path) {
  const log = readLog(nodeFileSystem, path);
  let count = 0;
  while (log.next()) count++;
  log.closeSync();
  return count;
}

const SMALL = Number(options.small);
const LARGE = Number(options.large);
const SYNCED = Number(options.synced);
const written = logOf(SMALL * 4, [], false);
const subjects = [
  ["append 120 B", SMALL, () => logOf(SMALL, [], false), () => rawOf(SMALL, [frame], false)],
  [
    "append 256 KiB",
    LARGE,
    () => logOf(LARGE, [value], false),
    () => rawOf(LARGE, [head, value], false),
  ],
  [
    "append 120 B, synced",
    SYNCED,
    () => logOf(SYNCED, [], true),
    () => rawOf(SYNCED, [frame], true),
  ],
  ["replay of 120 B", SMALL * 4, () => replay(written), () => rawRead(written)],
];
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const seen = subjects.map(() => ({ log: [], raw: [], logCpu: [], rawCpu: [] }));
const timed = (work, wall, cpu) => {
  const before = process.cpuUsage();
  const start = process.hrtime.bigint();
  work();
  wall.push(Number(process.hrtime.bigint() - start) / 1000);
  const { user, system } = process.cpuUsage(before);
  cpu.push(user + system);
};
try {
  for (let round = 0; round < ROUNDS; round++) {
    subjects.forEach(([, , log, raw], i) => {
      timed(raw, seen[i].raw, seen[i].rawCpu);
      timed(log, seen[i].log, seen[i].logCpu);
    });
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log("us each, wall (processor); median");
subjects.forEach(([name, count], i) => {
  const each = (list) => (median(list) / count).toFixed(2);
  const { log, raw, logCpu, rawCpu } = seen[i];
  const ratio = (median(raw) / median(log)).toFixed(2);
  console.log(
    `${name.padEnd(22)} log ${each(log)} (${each(logCpu)})  raw ${each(raw)} (${each(rawCpu)})  ${ratio} of raw`,
  );
});
