/**
 * Filters as tables get them: bits per key, false positives measured and by theory, nanoseconds to
 * build (per key) and to ask (absent, present), and what a table takes to be written with each.
 * CPU time, least of three rounds. Run against the built packages:
 * node packages/sst/bench/filter.bench.mjs [keys]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Codec, hashKey, hashReady, Kind, nodeFileSystem } from "@aura/base";
import { FilterKind, filterRate, Table, TableWriter } from "@aura/sst";

const COUNT = Number(process.argv[2] ?? 1_000_000);
const SEED = 7;
const KEY_BYTES = 16;
const VALUE_BYTES = 100;
const uuid = new Uint8Array(16).fill(1);
const uid = { lo: 1, hi: 2 };

await hashReady();
const directory = mkdtempSync(join(tmpdir(), "aura-filter-"));
const path = join(directory, "000001.sst");
const keys = new Uint8Array(COUNT * 2 * KEY_BYTES);
for (let i = 0; i < COUNT * 2; i++) {
  let rest = i * 37;
  for (let at = (i + 1) * KEY_BYTES - 1; at >= i * KEY_BYTES; at--) {
    keys[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
/** Every other key is in the table; the rest are absent, between the others. */
const hashes = new Uint32Array(COUNT * 2);
for (let i = 0; i < COUNT * 2; i++) {
  hashes[i] = hashKey(keys, i * KEY_BYTES, (i + 1) * KEY_BYTES, SEED);
}

function least(work, count) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1000) / count);
  }
  return best;
}

function write(settings, valueAt) {
  rmSync(path, { force: true });
  const file = nodeFileSystem.openSync(path, "create");
  const writer = new TableWriter(file, {
    databaseUuid: uuid,
    uid,
    number: 1,
    keyspace: 0,
    settings: { hashSeed: SEED, ...settings },
  });
  for (let i = 0; i < COUNT; i++) {
    const at = i * 2 * KEY_BYTES;
    const value = valueAt(i);
    writer.add(keys, at, at + KEY_BYTES, i + 1, Kind.value, value, 0, value.length);
  }
  const summary = writer.finishSync();
  file.closeSync();
  return summary;
}

const open = () =>
  Table.openSync(nodeFileSystem, { path, number: 1, uid, databaseUuid: uuid, hashSeed: SEED });
const value = new Uint8Array(VALUE_BYTES).map((_, i) => i * 7);
const same = () => value;

let plain = Number.POSITIVE_INFINITY;
plain = least(() => write({ filter: FilterKind.none }, same), COUNT);
console.log(`${COUNT} keys; a table without a filter: ${plain.toFixed(0)} ns per entry`);
console.log(
  "bits asked | kind | bits per key | false positives, theory | build, absent, present ns",
);
for (const bloomBitsPerKey of [5, 7, 10, 14, 20]) {
  for (const kind of ["bloom", "ribbon"]) {
    const settings = { filter: FilterKind[kind], bloomBitsPerKey };
    let summary;
    const built = least(() => {
      summary = write(settings, same);
    }, COUNT);
    const table = open();
    let passed = 0;
    const absent = least(() => {
      passed = 0;
      for (let i = 1; i < COUNT * 2; i += 2) if (table.mayHave(hashes[i])) passed++;
    }, COUNT);
    const present = least(() => {
      for (let i = 0; i < COUNT * 2; i += 2) if (!table.mayHave(hashes[i])) throw new Error("lost");
    }, COUNT);
    table.closeSync();
    const cells = [
      String(bloomBitsPerKey).padStart(3),
      kind.padEnd(6),
      (summary.filterBits / COUNT).toFixed(2).padStart(6),
      `${((passed / COUNT) * 100).toFixed(3)} %`.padStart(9),
      `${(filterRate(bloomBitsPerKey) * 100).toFixed(3)} %`.padStart(9),
      (built - plain).toFixed(0).padStart(5),
      absent.toFixed(0).padStart(5),
      present.toFixed(0).padStart(5),
    ];
    console.log(cells.join(" | "));
  }
}

/** Records that are alike from block to block. */
const cities = ["Lagos", "Osaka", "Bremen", "Brno", "Sevilla", "Beirut", "Umea", "Leeds"];
const encoder = new TextEncoder();
const records = Array.from({ length: 5000 }, (_, i) => {
  const mixed = Math.imul(i, 0x9e3779b1) >>> 0;
  return encoder.encode(
    `{"id":${mixed},"user":"u${mixed % 9973}","city":"${cities[mixed & 7]}","score":${mixed % 99991},"active":${(mixed & 64) > 0}}`,
  );
});
console.log("codec | bytes per entry | ns per entry to write, to verify");
for (const blockBytes of [1024, 4096, 16384]) {
  for (const [name, codec, dictionaryBytes] of [
    ["none", Codec.none, 0],
    ["lz4", Codec.lz4, 0],
    ["deflate", Codec.deflate, 0],
    ["zstd", Codec.zstd, 0],
    ["zstd, dictionary of 4 KiB", Codec.zstd, 4096],
    ["zstd, dictionary of 16 KiB", Codec.zstd, 16384],
  ]) {
    let summary;
    const settings = { blockBytes, codec, dictionaryBytes };
    const built = least(() => {
      summary = write(settings, (i) => records[(i * 31) % records.length]);
    }, COUNT);
    const table = open();
    const read = least(() => table.verifySync(), COUNT);
    table.closeSync();
    const bytes = (summary.fileBytes / COUNT).toFixed(1);
    console.log(
      `${blockBytes} | ${name.padEnd(26)} | ${bytes} | ${built.toFixed(0)} | ${read.toFixed(0)}`,
    );
  }
}
rmSync(directory, { recursive: true });
