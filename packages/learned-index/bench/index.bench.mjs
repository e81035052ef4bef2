/**
 * A model against packed separators, over whole tables of the block index port: memory, time of a
 * search, blocks looked at per look-up, bytes on disk. Searches take turns; least CPU time of the
 * rounds.
 *
 *   node packages/learned-index/bench/index.bench.mjs [--keys 1000000] [--rounds 7] [--only FAMILY]
 *     [--error 0.5] [--model piecewise-linear|radix-spline] [--segments optimal|cone] [--no-cut]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "../../../scripts/bundle.mjs";
import { families, makeKeys } from "./key-families.mjs";

const { values: options } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "7" },
    only: { type: "string" },
    error: { type: "string", default: "0.5" },
    model: { type: "string", default: "piecewise-linear" },
    segments: { type: "string", default: "optimal" },
    "no-cut": { type: "boolean", default: false },
    value: { type: "string", default: "100" },
  },
});
const KEYS = Number(options.keys);
const ROUNDS = Number(options.rounds);
const VALUE_BYTES = Number(options.value);
const SEARCHES = 200_000;
const SEED = 7;

const { load } = await bundle("index", {
  base: "base/src/index.ts",
  sst: "sst/src/index.ts",
  separators: "sst/src/separator-index.ts",
  learned: "learned-index/src/index.ts",
});
const { hashKey, hashReady, nodeFileSystem, SEQ_MAX } = await load("base");
const { BlockCache, Table, TableHit, TableWriter } = await load("sst");
const { separatorIndex } = await load("separators");
const { learnedIndex } = await load("learned");
await hashReady();

const model = learnedIndex({
  errorBlocks: Number(options.error),
  modelType: options.model,
  segments: options.segments,
});

/** A format that keeps what it is given, and may pass it on to another one. */
function spy(bounds, inner) {
  return {
    name: inner?.name ?? "spy",
    builder: () => {
      const builder = inner?.builder();
      const watched = {
        add(lower) {
          bounds.push(Buffer.from(lower));
          builder?.add(lower);
        },
        finish: () => builder?.finish(),
      };
      if (builder?.cutter && !options["no-cut"]) watched.cutter = builder.cutter;
      return watched;
    },
    decode: (bytes, count) => inner.decode(bytes, count),
  };
}

const directory = mkdtempSync(join(tmpdir(), "aura-index-"));
const databaseUuid = new Uint8Array(16).fill(1);
const uid = { lo: 1, hi: 2 };
const value = new Uint8Array(VALUE_BYTES).fill(7);
let number = 0;

function cpuNs(work) {
  const start = process.cpuUsage();
  work();
  const used = process.cpuUsage(start);
  return (used.user + used.system) * 1000;
}

/** Writes every other key into a table, so that the rest are absent keys of the same family. */
function writeTable({ bytes, ends, count }, index) {
  number++;
  const path = join(directory, `${number}.sst`);
  const file = nodeFileSystem.openSync(path, "create");
  const settings = { hashSeed: SEED, index, bloomBitsPerKey: 0 };
  const writer = new TableWriter(file, { databaseUuid, uid, number, keyspace: 0, settings });
  const ns = cpuNs(() => {
    for (let i = 0; i < count; i += 2) {
      const start = i === 0 ? 0 : ends[i - 1];
      writer.add(bytes, start, ends[i], i + 1, 1, value, 0, VALUE_BYTES);
    }
    writer.finishSync();
  });
  file.closeSync();
  const cache = new BlockCache({ capacityBytes: 1 << 20 });
  const open = { path, number, uid, databaseUuid, hashSeed: SEED, indexFormats: [model], cache };
  return { table: Table.openSync(nodeFileSystem, open), cache, nsPerEntry: ns / (count / 2) };
}

/** Returns the separator index of these bounds. */
function pack(bounds) {
  const builder = separatorIndex.builder();
  for (const bound of bounds) builder.add(bound);
  return separatorIndex.decode(builder.finish(), bounds.length);
}

function searchNs(index, { bytes, ends }, order) {
  return (
    cpuNs(() => {
      let sum = 0;
      for (const i of order) {
        index.locate(bytes, i === 0 ? 0 : ends[i - 1], ends[i]);
        sum += index.first;
      }
      if (sum < 0) throw new Error("never");
    }) / order.length
  );
}

/** Blocks that look-ups ask for, per look-up: of keys that are there, and of keys that are not. */
function blocksPerLookup({ table, cache }, { bytes, ends, count }, parity) {
  const hit = new TableHit();
  let lookups = 0;
  const before = cache.stats();
  for (let i = parity; i < count; i += 14, lookups++) {
    const start = i === 0 ? 0 : ends[i - 1];
    const hash = hashKey(bytes, start, ends[i], SEED);
    const state = table.get(bytes, start, ends[i], hash, SEQ_MAX, hit, true);
    if ((state === 1) !== (parity === 0)) throw new Error(`wrong answer for key ${i}`);
  }
  const after = cache.stats();
  return (after.hits + after.misses - before.hits - before.misses) / lookups;
}

function least(values) {
  return values.reduce((a, b) => Math.min(a, b));
}

console.log(
  `${"keys".padEnd(22)} blocks  separators     model  ratio | +handles  +handles  ratio | search ns: separators  model  ratio | blocks per look-up | write ns/entry`,
);
for (const family of Object.keys(families)) {
  if (options.only !== undefined && options.only !== family) continue;
  const keys = makeKeys(family, KEYS);
  const plain = [];
  const cut = [];
  const separators = writeTable(keys, [spy(plain)]);
  const learned = writeTable(keys, [spy(cut, model)]);
  const baseline = pack(plain);
  const builder = model.builder();
  for (const bound of cut) builder.add(bound);
  let bytes;
  const trainNs = cpuNs(() => {
    bytes = builder.finish();
  });
  const index = bytes === undefined ? pack(cut) : model.decode(bytes, cut.length);
  const random = Array.from({ length: SEARCHES }, (_, i) => (i * 7919 + 13) % keys.count);
  const times = { baseline: [], index: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.baseline.push(searchNs(baseline, keys, random));
    times.index.push(searchNs(index, keys, random));
  }
  const kib = (n) => (n / 1024).toFixed(1).padStart(8);
  const a = baseline.residentBytes;
  const b = index.residentBytes;
  const ah = separators.table.residentBytes;
  const bh = learned.table.residentBytes;
  const at = least(times.baseline);
  const bt = least(times.index);
  console.log(
    `${family.padEnd(22)} ${String(plain.length).padStart(6)}  ${kib(a)} K ${kib(b)} K  ${(b / a).toFixed(3)} | ${kib(ah)} K ${kib(bh)} K ${(bh / ah).toFixed(3)} |` +
      ` ${at.toFixed(0).padStart(21)} ${bt.toFixed(0).padStart(6)}  ${(bt / at).toFixed(2).padStart(5)} |` +
      ` ${blocksPerLookup(learned, keys, 0).toFixed(4)} ${blocksPerLookup(learned, keys, 1).toFixed(4)} ${learned.table.indexName} | ${separators.nsPerEntry.toFixed(0)} ${learned.nsPerEntry.toFixed(0)} train ${(trainNs / 1e6).toFixed(1)} ms, ${cut.length} blocks`,
  );
  separators.table.closeSync();
  learned.table.closeSync();
}
rmSync(directory, { recursive: true, force: true });
